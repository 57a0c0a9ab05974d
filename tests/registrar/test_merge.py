"""How a REGISTER changes the present bindings: RFC 3261 10.3, steps 6 and 7."""

from __future__ import annotations

import dataclasses

import pytest

from sansip.location import LocationUpdate
from tests.registrar.conftest import ALICE, DESK, PHONE, SOURCE


class TestStar:
    """Step 6: Contact: * removes every binding."""

    def test_with_expires_zero_all_go(self, site, values):
        """10.2.2: without knowing their precise values."""
        site.send(PHONE, DESK)

        reply = site.send("*", expires=0)

        assert (reply.status, values(reply, "Contact")) == (200, [])
        assert site.contacts() == []

    @pytest.mark.parametrize("expires", [None, 1, 3600, "soon"])
    def test_any_other_expiration_is_invalid(self, site, expires):
        """400, and nothing is removed."""
        site.send(PHONE)

        assert site.send("*", expires=expires).status == 400
        assert site.contacts() == ["sip:alice@192.0.2.1"]

    @pytest.mark.parametrize("contacts", [("*", PHONE), (PHONE, "*"), (f"{PHONE}, *",), ("*", "*")])
    def test_beside_another_contact_it_is_invalid(self, site, contacts):
        """400: "*" stands alone."""
        site.send(PHONE)

        assert site.send(*contacts, expires=0).status == 400
        assert site.contacts() == ["sip:alice@192.0.2.1"]

    def test_a_binding_of_another_call_id_goes(self, site):
        """The CSeq of either does not matter."""
        site.send(PHONE, cseq=100, call_id="first")

        assert site.send("*", cseq=1, call_id="second", expires=0).status == 200
        assert site.contacts() == []

    @pytest.mark.parametrize("cseq", [6, 7])
    def test_a_binding_of_this_call_id_goes_only_if_the_cseq_is_higher(self, site, cseq):
        """Otherwise the update is aborted and the request fails, for every binding."""
        site.send(DESK, cseq=1, call_id="other")
        site.send(PHONE, cseq=7)

        assert site.send("*", cseq=cseq, expires=0).status == 500
        assert sorted(site.contacts()) == ["sip:alice@192.0.2.1", "sip:alice@192.0.2.2"]
        assert site.send("*", cseq=8, expires=0).status == 200

    def test_when_there_is_nothing_it_is_no_error(self, site):
        """Phones send it when they start."""
        assert site.send("*", expires=0).status == 200


class TestBindings:
    """Step 7, second half: each address is searched for by the URI comparison rules."""

    @pytest.mark.parametrize(
        "again",
        [
            "<SIP:alice@192.0.2.1>",
            "<sip:%61lice@192.0.2.1>",
            "<sip:alice@192.0.2.1;newparam=5>",
            "sip:alice@192.0.2.1",
            '"Alice" <sip:alice@192.0.2.1>;q=0.5',
        ],
    )
    def test_equivalent_uris_are_one_binding(self, site, again):
        """19.1.4. Kamailio compares octets and keeps two."""
        site.send(PHONE)

        assert site.send(again).status == 200
        assert len(site.contacts()) == 1

    @pytest.mark.parametrize(
        "other",
        [
            "<sip:Alice@192.0.2.1>",
            "<sip:alice@192.0.2.1:5060>",
            "<sip:alice@192.0.2.1;transport=udp>",
            "<sip:alice@192.0.2.1;maddr=192.0.2.9>",
            "<sip:alice@192.0.2.1?Subject=x>",
            "<sip:192.0.2.1>",
        ],
    )
    def test_uris_that_differ_are_two(self, site, other):
        """19.1.4: a default written out is not the same as a default left out."""
        site.send(PHONE)

        assert site.send(other).status == 200
        assert len(site.contacts()) == 2

    def test_a_uri_equal_to_two_replaces_both(self, site):
        """19.1.4 is not transitive; no two bindings may be equal, or one could never be removed."""
        site.send("<sip:alice@192.0.2.1;security=on>", "<sip:alice@192.0.2.1;security=off>", DESK)
        assert len(site.contacts()) == 3

        site.send(PHONE)

        assert sorted(site.contacts()) == ["sip:alice@192.0.2.1", "sip:alice@192.0.2.2"]

    def test_a_binding_from_elsewhere_that_is_no_uri_is_left_alone(self, site):
        """A store may hold Contacts of other writers; they equal no other and expire like the rest."""
        site.send(PHONE)
        odd = dataclasses.replace(site.bindings()[0], contact="no uri")
        site.location.apply(LocationUpdate(ALICE, tuple(site.bindings()), (odd,)), site.now)

        assert site.send(PHONE, DESK).status == 200
        assert sorted(site.contacts()) == ["no uri", "sip:alice@192.0.2.1", "sip:alice@192.0.2.2"]

    def test_a_refresh_keeps_the_time_of_the_first_registration(self, site):
        """RFC 3680 reports how long a contact has been registered."""
        site.send(PHONE)
        site.now += 100
        site.send(PHONE)

        (binding,) = site.bindings()
        assert (binding.registered_at, binding.refreshed_at) == (1000.0, 1100.0)

    def test_a_refresh_changes_everything_else(self, site, values):
        """The value in force is the last one: q, parameters, flow."""
        site.send(f"{PHONE};q=0.1;+sip.ice", flow=1, headers=["User-Agent: One"])
        reply = site.send(f"{PHONE};q=0.7", flow=2, headers=["User-Agent: Two"], received=SOURCE)

        (binding,) = site.bindings()
        assert values(reply, "Contact") == ["<sip:alice@192.0.2.1>;expires=3600;q=0.7"]
        assert (binding.flow, binding.user_agent, binding.received) == (2, "Two", SOURCE)

    def test_other_schemes_are_contacts_too(self, site):
        """10.2.1: "they MAY use any URI scheme", so those of the RFC's examples stand."""
        contacts = ["tel:+1-212-555-1212", "mailto:alice@example.com"]

        assert site.send(*(f"<{contact}>" for contact in contacts)).status == 200
        assert site.contacts() == contacts
        # RFC 3966 4: visual separators do not make another number.
        assert site.send("<tel:+12125551212>").status == 200
        assert len(site.contacts()) == 2

    def test_the_same_contact_twice_counts_as_the_last(self, site, values):
        """Values are processed "in turn"; the CSeq rule puts requests in order, not values."""
        reply = site.send(f"{PHONE};q=0.1", f"{DESK}", f"{PHONE};q=0.9")

        assert values(reply, "Contact") == [
            "<sip:alice@192.0.2.2>;expires=3600",
            "<sip:alice@192.0.2.1>;expires=3600;q=0.9",
        ]
        assert site.send(f"{PHONE};expires=0", PHONE).status == 200
        assert len(site.contacts()) == 2
        assert site.send(PHONE, f"{PHONE};expires=0").status == 200
        assert site.contacts() == ["sip:alice@192.0.2.2"]


class TestOrder:
    """Step 7: "This algorithm ensures that out-of-order requests from the same UA are ignored"."""

    def test_a_lower_cseq_of_the_same_call_id_fails(self, site):
        """The update is aborted; 500 is the status for updates that do not succeed."""
        site.send(PHONE, cseq=5)
        before = site.bindings()

        for request in (PHONE, f"{PHONE};expires=0"):
            assert site.send(request, cseq=4).status == 500
        assert site.bindings() == before

    @pytest.mark.parametrize(
        "again",
        [
            f"{PHONE};q=0.5",
            f"{PHONE};expires=0",
            f"{PHONE};expires=1800",
            "<sip:alice@192.0.2.1;x=y>",
            f"{PHONE};a=b",
        ],
    )
    def test_an_equal_cseq_that_asks_for_something_else_fails(self, site, again):
        """Kamailio applies it when +sip.instance is there."""
        site.send(PHONE, cseq=5)
        before = site.bindings()

        assert site.send(again, cseq=5).status == 500
        assert site.bindings() == before

    def test_a_higher_cseq_updates(self, site):
        """A higher CSeq may be higher by any amount."""
        site.send(PHONE, cseq=5)

        assert site.send(PHONE, cseq=900).status == 200
        assert site.bindings()[0].cseq == 900

    def test_another_call_id_updates_whatever_its_cseq(self, site):
        """The phone was started afresh. Removal alike."""
        site.send(PHONE, cseq=500, call_id="before")

        assert site.send(PHONE, cseq=1, call_id="after").status == 200
        (binding,) = site.bindings()
        assert (binding.call_id, binding.cseq) == ("after", 1)
        assert site.send(f"{PHONE};expires=0", cseq=1, call_id="third").status == 200
        assert site.contacts() == []

    def test_call_ids_are_compared_octet_by_octet(self, site):
        """20.8: case-sensitive."""
        site.send(PHONE, cseq=5, call_id="abc")

        assert site.send(PHONE, cseq=1, call_id="ABC").status == 200

    def test_bindings_not_named_do_not_matter(self, site):
        """Only the binding of this contact has a CSeq to compare."""
        site.send(PHONE, cseq=9)

        assert site.send(DESK, cseq=1).status == 200

    def test_a_repetition_is_answered_and_changes_nothing(self, site, values):
        """It is the REGISTER that was done: 200, and the interval is not prolonged."""
        site.send(PHONE, cseq=5)
        before = site.bindings()
        site.now += 10

        reply = site.send(PHONE, cseq=5)

        assert values(reply, "Contact") == ["<sip:alice@192.0.2.1>;expires=3590"]
        assert site.bindings() == before

    def test_a_repetition_too_late_fails(self, site):
        """After 64*T1 nothing of the first one can still be under way."""
        site.send(PHONE, cseq=5)
        site.now += 32

        assert site.send(PHONE, cseq=5).status == 500

    def test_repetitions_may_be_refused_at_once(self, make_site):
        """The letter of step 7: "If not [higher], the update MUST be aborted"."""
        site = make_site(repeat_time=0)
        site.send(PHONE, cseq=5)

        assert site.send(PHONE, cseq=5).status == 500

    def test_a_repetition_with_something_new_in_it_fails_whole(self, site):
        """It cannot be the request that was done."""
        site.send(PHONE, cseq=5)

        assert site.send(PHONE, DESK, cseq=5).status == 500
        assert site.send(DESK, PHONE, cseq=5).status == 500
        assert site.contacts() == ["sip:alice@192.0.2.1"]
        site.send(DESK, call_id="other")
        assert site.send(PHONE, f"{DESK};expires=0", cseq=5).status == 500
        assert len(site.contacts()) == 2

    def test_a_repeated_removal_is_answered_again(self, site):
        """The first one did it; there is nothing left to compare with."""
        site.send(PHONE, DESK, cseq=5)
        site.send(f"{PHONE};expires=0", DESK, cseq=6)

        assert site.send(f"{PHONE};expires=0", DESK, cseq=6).status == 200
        assert site.contacts() == ["sip:alice@192.0.2.2"]
