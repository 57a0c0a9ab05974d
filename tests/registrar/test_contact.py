"""Contact values, read and written (RFC 3261 20.10)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import RemoteProtocolError
from sansip.location import Binding, Source
from sansip.registrar.contact import contact_value, delta_seconds, read_contact

from .conftest import make_register


def read(value, default=3600):
    (address,) = make_register(value).contacts
    return read_contact(address, default)


def make_binding(**fields):
    return Binding("sip:alice@example.com", "sip:alice@192.0.2.1", 1060.0, "id", 1, **fields)


class TestDelta:
    """RFC 3261 10.2: expires, as peers write it."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", 0),
            ("000", 0),
            ("60", 60),
            ("0060", 60),
            ("4294967295", 4294967295),
            ("4294967296", 4294967295),
            ("9" * 100_000, 4294967295),
            (None, 3600),
            ("", 3600),
            ("-1", 3600),
            ("+60", 3600),
            ("6e1", 3600),
            (" 60", 3600),
            ("²", 3600),
        ],
    )
    def test_values(self, text, seconds):
        """Malformed is an hour; more than 2**32-1 is 2**32-1."""
        assert delta_seconds(text) == seconds

    @given(st.text() | st.from_regex(r"[0-9]+", fullmatch=True))
    def test_whatever_comes_is_in_range(self, text):
        """Nothing a peer writes makes it raise or leave the range."""
        assert 0 <= delta_seconds(text) <= 2**32 - 1


class TestRead:
    """The parts of a value."""

    @pytest.mark.parametrize(
        ("raw", "q"),
        [
            ("0", 0),
            ("0.", 0),
            ("0.5", 500),
            ("0.35", 350),
            ("0.001", 1),
            ("1", 1000),
            ("1.", 1000),
            ("1.000", 1000),
        ],
    )
    def test_q(self, raw, q):
        """RFC 3261 25.1: up to three decimals, kept exactly."""
        assert read(f"<sip:a@host>;q={raw}").q == q

    @pytest.mark.parametrize(
        "raw", ["7", "1.1", "1.001", "0.0001", ".5", "-0.5", "0,5", "00.5", "high", '"1"', "٠"]
    )
    def test_malformed_q_is_refused(self, raw):
        """It would order the phones in an unintended way."""
        with pytest.raises(RemoteProtocolError) as refused:
            read(f"<sip:a@host>;q={raw}")
        assert (refused.value.status, refused.value.field) == (400, "Contact")

    def test_instance_and_reg_id(self):
        """RFC 5626 4.1, 4.2: kept apart, for they name the flow."""
        change = read(
            '<sip:a@host>;reg-id=2;+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>";+sip.ice'
        )

        assert change.instance == "urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF"
        assert change.reg_id == 2
        assert change.params == ";+sip.ice"

    @pytest.mark.parametrize("odd", ["+sip.instance=abc", "+sip.instance", "reg-id=0", "reg-id=x", "reg-id"])
    def test_one_that_means_nothing_is_a_parameter_like_others(self, odd):
        """It goes back as it came."""
        change = read(f"<sip:a@host>;{odd}")

        assert (change.instance, change.reg_id, change.params) == (None, None, f";{odd}")

    def test_a_gruu_of_the_phones_own_is_ignored(self):
        """RFC 5627 5.1: "A UA cannot suggest or otherwise provide a public GRUU"."""
        change = read('<sip:a@host>;pub-gruu="sip:a@host;gr=x";temp-gruu="sip:b@host;gr";x=y')

        assert change.params == ";x=y"

    def test_capabilities_are_kept(self):
        """RFC 3840: feature tags belong to the contact."""
        change = read('<sip:a@host>;audio;video;methods="INVITE,BYE";+sip.message="TRUE";q=0.1;expires=9')

        assert change.params == ';audio;video;methods="INVITE,BYE";+sip.message="TRUE"'
        assert (change.q, change.requested) == (100, 9)


class TestWrite:
    """The values in a 200."""

    @pytest.mark.parametrize(
        ("q", "text"),
        [(None, ""), (0, ";q=0"), (1, ";q=0.001"), (350, ";q=0.35"), (500, ";q=0.5"), (1000, ";q=1")],
    )
    def test_q(self, q, text):
        """As few digits as possible; none where there was no q."""
        assert contact_value(make_binding(q=q), 1000.0) == f"<sip:alice@192.0.2.1>;expires=60{text}"

    def test_the_source_is_shown_when_asked_for(self):
        """Kamailio's received parameter."""
        binding = make_binding(received=Source("udp", "198.51.100.1", 1024))

        assert contact_value(binding, 1000.0) == "<sip:alice@192.0.2.1>;expires=60"
        assert contact_value(binding, 1000.0, show_received=True) == (
            '<sip:alice@192.0.2.1>;expires=60;received="sip:198.51.100.1:1024"'
        )

    def test_a_permanent_binding_has_the_longest_interval_there_is(self):
        """Each Contact value MUST feature an expires."""
        binding = make_binding()
        binding.expires_at = math.inf

        assert contact_value(binding, 1000.0) == "<sip:alice@192.0.2.1>;expires=4294967295"

    @given(st.floats(0, 1e7), st.integers(1, 2**32 - 1))
    def test_a_new_binding_has_the_interval_it_was_granted(self, now, granted):
        """Floating point must not make 3599 of 3600."""
        binding = Binding("sip:a@host", "sip:a@host", now + granted, "id", 1)

        assert contact_value(binding, now) == f"<sip:a@host>;expires={granted}"

    @pytest.mark.parametrize(
        "value",
        [
            # RFC 4475 3.3.12 to 3.3.14: URI parameters and headers stay inside, others outside.
            "sip:+19725552222@gw1.example.net;unknownparam",
            "<sip:+19725552222@gw1.example.net;unknownparam>",
            "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
            '<sip:a@[2001:db8::9:1]:5070;transport=tcp>;q=0.5;+sip.instance="<urn:uuid:1>";reg-id=1;methods="A,B";x',
            '"A, \\"B\\" <c>" <sip:a@host>;x="a;b,c>d"',
        ],
    )
    def test_what_is_read_is_written_is_read(self, value):
        """The 200 says the same as the request, whatever form that had."""
        change = read(value)
        binding = Binding(
            "sip:a@host",
            change.text,
            60.0,
            "id",
            1,
            q=change.q,
            instance=change.instance,
            reg_id=change.reg_id,
            params=change.params,
        )
        again = read(contact_value(binding, 0.0))

        change.requested = 60
        assert (again.text, again.q, again.instance, again.reg_id, again.params) == (
            change.text,
            change.q,
            change.instance,
            change.reg_id,
            change.params,
        )


def test_octets_that_are_no_text_survive():
    """A parameter in Latin-1 goes back as the same octets."""
    text = contact_value(make_binding(params=read('<sip:a@host>;x="\udce9"').params), 0.0)

    assert text.encode("utf-8", "surrogateescape").endswith(b';x="\xe9"')
