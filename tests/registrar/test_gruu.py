"""GRUUs at the registrar (RFC 5627 5): those given out, and how long they are good."""

from __future__ import annotations

import re

import pytest

from sansip.entropy import Entropy
from sansip.limits import DEFAULT
from sansip.location import MemoryLocation
from sansip.registrar import Gruus, Registrar, RegistrarConfig
from sansip.wire import parse_uri
from tests.registrar.conftest import ALICE, Site

UUID = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
OTHER = "urn:uuid:00000000-0000-1000-8000-aabbccddeeff"
GRUU = ("Supported: gruu, outbound, path",)
KEY = b"a key of sixteen"


@pytest.fixture
def site():
    made = Site()
    made.registrar = Registrar(RegistrarConfig(), DEFAULT, Gruus(KEY, Entropy(b"a seed of sixteen")))
    return made


def contact(host="192.0.2.1", instance=UUID, rest=""):
    return f'<sip:alice@{host}>;+sip.instance="<{instance}>"{rest}'


def told(reply, name="temp-gruu"):
    """The GRUUs in the answer, one for each Contact that has one."""
    found = [re.search(f'{name}="([^"]+)"', value) for header, value in reply.headers if header == "Contact"]
    return [one[1] for one in found if one]


def reached(site, text, gruus=None):
    """Contacts that the GRUU ``text`` leads to now."""
    gruus = gruus or site.registrar.gruus
    gruu = gruus.read(parse_uri(text))
    if gruu is None:
        return None
    aor = f"sip:{gruu.user}@example.com"
    return [one.contact for one in gruus.bindings(gruu, aor, site.location.lookup(aor, site.now), 0.0)]


class TestTold:
    """RFC 5627 5.2."""

    def test_both_are_told(self, site):
        """Only a phone that supports them gets them; gruu stands neither in Supported nor in Require."""
        reply = site.send(contact(), headers=GRUU)

        assert told(reply, "pub-gruu") == [f"{ALICE};gr={UUID}"]
        (temporary,) = told(reply)
        assert re.fullmatch(r"sip:tgruu\.[A-Za-z0-9_-]+@example\.com;gr", temporary)
        assert "gruu" not in "".join(value for name, value in reply.headers if name != "Contact")
        assert told(site.send(contact())) == []

    def test_a_contact_without_an_instance_has_none(self, site):
        """There is no device to lead to."""
        assert told(site.send("<sip:alice@192.0.2.1>", headers=GRUU), "pub-gruu") == []

    def test_all_contacts_of_a_device_are_told_the_same(self, site):
        """RFC 5627 5.2: the most recently created one of that instance; the other device has its own."""
        site.send(contact(rest=";reg-id=1"), headers=GRUU, call_id="a")
        site.send(contact("192.0.2.3", OTHER), headers=GRUU, call_id="c")
        site.now += 1
        reply = site.send(contact("192.0.2.2", rest=";reg-id=2"), headers=GRUU, call_id="b")

        assert len(told(reply)) == 3
        assert len(set(told(reply))) == 2

    def test_it_can_be_required(self, site):
        """RFC 5627 5.1."""
        assert site.send(contact(), headers=("Require: gruu",)).status == 200

    def test_an_operator_who_wants_none(self, site):
        """Then the extension is not supported."""
        site.registrar = Registrar(
            RegistrarConfig(gruu=False), DEFAULT, Gruus(KEY, Entropy(b"a seed of sixteen"))
        )

        assert told(site.send(contact(), headers=GRUU), "pub-gruu") == []
        assert site.send(contact(), headers=("Require: gruu",)).status == 420

    def test_what_a_phone_suggests_is_ignored(self, site):
        """RFC 5627 5.1: a UA cannot provide one."""
        reply = site.send(contact(rest=';pub-gruu="sip:x@example.com;gr=1"'), headers=GRUU)

        assert told(reply, "pub-gruu") == [f"{ALICE};gr={UUID}"]


class TestLoops:
    """RFC 5627 5.1: 403 for a contact that leads back here."""

    @pytest.mark.parametrize(
        "uri",
        [ALICE, f"{ALICE};gr={UUID}", f"{ALICE};gr={OTHER}", "tel:+15551234", "mailto:alice@example.com"],
    )
    def test_refused(self, site, uri):
        """The address itself, its GRUUs, and values that are no SIP URI."""
        reply = site.send(f'<{uri}>;+sip.instance="<{UUID}>"', headers=GRUU)

        assert (reply.status, site.bindings()) == (403, [])

    def test_a_temporary_one(self, site):
        """One learned before."""
        (temporary,) = told(site.send(contact(), headers=GRUU))

        assert site.send(f'<{temporary}>;+sip.instance="<{UUID}>"', headers=GRUU).status == 403

    def test_somebody_elses(self, site):
        """That is forwarding, not a loop."""
        uri = f"sip:bob@example.com;gr={UUID}"

        assert site.send(f'<{uri}>;+sip.instance="<{UUID}>"', headers=GRUU).status == 200

    def test_without_an_instance(self, site):
        """RFC 5627 5.1 is about devices; RFC 3261 lets anything be bound."""
        assert site.send("<tel:+15551234>").status == 200


class TestLife:
    """RFC 5627 5.1, 5.3: temporary ones accumulate, and go all at once."""

    def test_each_answer_brings_a_new_one(self, site):
        """The earlier ones stay good."""
        seen = []
        for _ in range(5):
            seen += told(site.send(contact(), headers=GRUU))
            site.now += 600

        assert len(set(seen)) == 5
        assert all(reached(site, one) == ["sip:alice@192.0.2.1"] for one in seen)

    def test_a_new_call_id_ends_them(self, site):
        """RFC 5627 5.1: the phone was restarted, or wants it so; the new one is good."""
        (old,) = told(site.send(contact(), headers=GRUU, call_id="a"))
        site.now += 1
        (new,) = told(site.send(contact(), headers=GRUU, call_id="b"))

        assert (reached(site, old), reached(site, new)) == ([], ["sip:alice@192.0.2.1"])

    def test_so_does_one_with_another_contact(self, site):
        """RFC 5627 5.1: without flows it is the contact of the instance registered last that counts."""
        (old,) = told(site.send(contact(), headers=GRUU, call_id="a"))
        site.now += 1
        site.send(contact("192.0.2.2"), headers=GRUU, call_id="b")

        assert reached(site, old) == []

    def test_a_second_flow_does_not(self, site):
        """RFC 5626 4.2.1: each flow has a Call-ID of its own, and RFC 5627 5.1 compares within a reg-id."""
        (old,) = told(site.send(contact(rest=";reg-id=1"), headers=GRUU, call_id="a"))
        site.now += 1
        site.send(contact("192.0.2.2", rest=";reg-id=2"), headers=GRUU, call_id="b")

        assert sorted(reached(site, old)) == ["sip:alice@192.0.2.1", "sip:alice@192.0.2.2"]

    def test_a_new_call_id_of_one_flow_ends_those_of_all(self, site):
        """RFC 5627 4.1: of the instance as a whole."""
        site.send(contact(rest=";reg-id=1"), headers=GRUU, call_id="a")
        old = told(site.send(contact("192.0.2.2", rest=";reg-id=2"), headers=GRUU, call_id="b"))[0]
        site.now += 1
        new = told(site.send(contact(rest=";reg-id=1"), headers=GRUU, call_id="c"))[0]
        site.now += 1
        again = told(site.send(contact("192.0.2.2", rest=";reg-id=2"), headers=GRUU, call_id="b"))[0]

        assert reached(site, old) == []
        assert len(reached(site, new)) == len(reached(site, again)) == 2

    def test_one_flow_keeps_them_alive(self, site):
        """RFC 5627 4.2: valid as long as at least one flow is registered."""
        (old,) = told(site.send(contact(rest=";reg-id=1"), headers=GRUU, call_id="a"))
        site.now += 100
        site.send(contact("192.0.2.2", rest=";reg-id=2"), headers=GRUU, call_id="b")
        site.send(contact(rest=";reg-id=1;expires=0"), headers=GRUU, call_id="a")

        assert reached(site, old) == ["sip:alice@192.0.2.2"]

    def test_when_the_last_contact_goes_they_go(self, site):
        """RFC 5627 5.3: also where it comes back with the same Call-ID."""
        (old,) = told(site.send(contact(), headers=GRUU))
        site.send(contact(rest=";expires=0"), headers=GRUU)
        assert reached(site, old) == []
        site.now += 1
        site.send(contact(), headers=GRUU)
        assert reached(site, old) == []

    def test_the_public_one_stays(self, site):
        """RFC 5627 5.3: it leads nowhere until the device is back."""
        (public,) = told(site.send(contact(), headers=GRUU), "pub-gruu")
        site.send(contact(rest=";expires=0"), headers=GRUU)
        assert reached(site, public) == []
        site.send(contact(), headers=GRUU, call_id="b")
        assert reached(site, public) == ["sip:alice@192.0.2.1"]

    def test_it_leads_to_its_device_alone(self, site):
        """RFC 5627 5.4: an address-of-record has all contacts, a GRUU those of one instance."""
        one = told(site.send(contact(), headers=GRUU, call_id="a"))[0]
        site.now += 1
        reply = site.send(contact("192.0.2.2", OTHER), headers=GRUU, call_id="b")

        assert reached(site, one) == ["sip:alice@192.0.2.1"]
        assert reached(site, told(reply)[0]) == ["sip:alice@192.0.2.2"]
        assert reached(site, f"{ALICE};gr={OTHER.upper()}") == ["sip:alice@192.0.2.2"]

    def test_a_clock_that_is_set(self, site):
        """The machine's clock is put right while phones are registered: nothing they were told is lost."""
        gruus = site.registrar.gruus
        site.send(contact(), headers=GRUU)
        (binding,) = site.bindings()
        made = gruus.temporary(ALICE, UUID, site.now, 1_000_000_000.0)
        for offset in (1_000_000_000.0, 1_000_003_600.0, 999_996_400.0):
            assert gruus.bindings(gruus.read(parse_uri(made)), ALICE, [binding], offset) == [binding]

    def test_after_a_restart(self, site):
        """Nothing was stored but the bindings, with their times in Unix time."""
        (temporary,) = told(site.send(contact(), headers=GRUU))
        again = Gruus(KEY, Entropy(b"another sixteen.."))

        assert reached(site, temporary, again) == ["sip:alice@192.0.2.1"]


class TestOpaque:
    """RFC 5627 5.1: no stranger can tell whose it is, or make one."""

    def test_it_names_nobody(self, site):
        """The length names nobody either: it grows in steps of 24 characters."""
        gruus = site.registrar.gruus
        one, two = (
            gruus.temporary(f"sip:{user}@example.com", UUID, 1.0, None) for user in ("al", "bartholomew")
        )

        assert len(one) == len(two)
        assert gruus.temporary("sip:al@example.com", UUID, 1.0, None) != one

    @pytest.mark.parametrize("user", ["a", "x" * 24, "x" * 25, "x" * 512, "%00", "j%C3%BCrg"])
    def test_any_user(self, site, user):
        """Any canonical address-of-record comes back."""
        gruus = site.registrar.gruus
        gruu = gruus.read(parse_uri(gruus.temporary(f"sip:{user}@example.com", UUID, 1.0, None)))

        assert gruu is not None
        assert gruu.user == user

    def test_no_bounds_no_gruu(self, site):
        """A user name beyond 512 octets, or none."""
        gruus = site.registrar.gruus

        assert gruus.temporary(f"sip:{'x' * 513}@example.com", UUID, 1.0, None) is None
        assert gruus.temporary("sip:example.com", UUID, 1.0, None) is None

    def test_forged(self, site):
        """Each character counts; other keys read nothing."""
        (temporary,) = told(site.send(contact(), headers=GRUU))
        assert reached(site, temporary, Gruus(b"another sixteen..", Entropy(KEY))) is None
        for text in (
            temporary.replace("tgruu.", "tgruu.A"),
            "sip:tgruu.@example.com;gr",
            "sip:alice@example.com;gr",
            "sip:example.com;gr",
        ):
            assert site.registrar.gruus.read(parse_uri(text)) is None

    def test_an_instance_of_any_characters(self, site):
        """RFC 3261 25.1: what a parameter may not hold is escaped, and read back."""
        odd = "urn:x:a;b=c d%é"
        gruus = site.registrar.gruus
        uri = gruus.public(ALICE, odd)

        assert gruus.read(parse_uri(uri)).instance == odd


def test_location_is_untouched_by_reading(site):
    """Reading a GRUU makes nothing: there is no table that somebody could fill."""
    before = MemoryLocation()
    for number in range(50):
        site.registrar.gruus.read(parse_uri(f"sip:tgruu.{number}@example.com;gr"))
    assert len(before) == len(site.location) == 0
