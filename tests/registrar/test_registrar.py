"""RFC 3261 10.3, step by step: how a registrar treats a REGISTER.

Steps 1, 3 and 4 (whose domain, who asks, may they) are the route's.
"""

from __future__ import annotations

import dataclasses

import pytest

from sansip.limits import Limits
from sansip.location import LocationUpdate, Outcome, Source
from sansip.registrar import Registrar
from sansip.wire import Request

ALICE = "sip:alice@example.com"
PHONE = "<sip:alice@192.0.2.1>"
SOURCE = Source("udp", "198.51.100.1", 1024)
DESK = "<sip:alice@192.0.2.2>"


class TestRequire:
    """Step 2: Require is processed as in 8.2.2.3."""

    def test_an_unknown_extension_is_refused(self, site, values):
        """420, and Unsupported lists those not understood. Kamailio answers 200."""
        reply = site.send(PHONE, headers=["Require: foo, path, bar", "Supported: path"])

        assert (reply.status, reply.reason) == (420, "Bad Extension")
        assert values(reply, "Unsupported") == ["foo, bar"]
        assert site.contacts() == []

    def test_path_is_an_extension_known_here(self, site):
        """RFC 3327: an edge proxy adds Require: path when the phone supports it."""
        assert site.send(PHONE, headers=["Require: path", "Supported: path"]).status == 200

    def test_a_plan_checks_it_too(self, site, make_register):
        """A caller of plan() alone is no less safe."""
        plan = site.registrar.plan(make_register(PHONE, headers=["Require: foo"]), ALICE, [], 0.0)

        assert (plan.update, plan.reply.status) == (None, 420)

    def test_it_comes_before_everything_else(self, site):
        """Step 2 precedes step 5: the address-of-record is not looked at."""
        assert site.send(PHONE, to="<tel:+1212>", headers=["Require: foo"]).status == 420

    def test_a_malformed_require_is_refused(self, site):
        """A Require that cannot be read may demand anything."""
        assert site.send(PHONE, headers=["Require: path,,foo"]).status == 400

    def test_what_is_known_here_can_be_asked_for(self, site, make_site):
        """The values for Supported in any other answer of the server."""
        assert site.registrar.extensions == {"path", "outbound"}
        assert make_site(outbound=False).registrar.extensions == {"path"}
        assert make_site(path="ignore").registrar.extensions == frozenset()

    def test_an_option_tag_in_other_case_is_the_same(self, site):
        """7.3.1: tokens are case-insensitive."""
        assert site.send(PHONE, headers=["Require: PATH", "Supported: Path"]).status == 200


class TestAddressOfRecord:
    """Step 5: the address-of-record is extracted from To."""

    def test_it_must_be_a_sip_or_sips_uri(self, site):
        """10.2: "MUST be a SIP URI or SIPS URI"; RFC 4475 3.3.4 expects 400."""
        assert site.send(PHONE, to="<tel:+12125551212>").status == 400
        assert site.send(PHONE, to="<isbn:2983792873>").status == 400

    def test_one_that_cannot_be_read_is_refused(self, site):
        """A route may hand in a request that it built itself; the result is an answer, not an exception."""
        request = Request.build("REGISTER", "sip:example.com", [("To", "<sip:alice@>")])

        assert site.answer(request).status == 400

    def test_it_must_be_of_our_domain(self, site):
        """404 when it is not valid for the domain."""
        assert site.send(PHONE, to="<sip:alice@elsewhere.example>").status == 404

    def test_all_ways_to_write_it_are_one(self, site):
        """Parameters are removed, escapes undone, the host's case is nothing."""
        for to in (
            f"<{ALICE}>",
            "<sip:%61lice@EXAMPLE.com;user=phone>",
            "sip:alice@example.com",
            "<sips:alice@example.com>",
        ):
            assert site.send(PHONE, to=to).status == 200

        assert site.location.aors == 1

    def test_the_case_of_the_user_counts(self, site):
        """19.1.4: the userinfo is case-sensitive."""
        site.send(PHONE)
        site.send(DESK, to="<sip:Alice@example.com>")

        assert site.contacts() == ["sip:alice@192.0.2.1"]
        assert site.contacts("sip:Alice@example.com") == ["sip:alice@192.0.2.2"]


class TestFetch:
    """Step 6: without Contact, on to the last step. 10.2.3: the bindings are left unchanged."""

    def test_nobody_registered(self, site, values):
        """A 200 without Contact is the empty list, not an error."""
        reply = site.send()

        assert (reply.status, values(reply, "Contact")) == (200, [])

    def test_bindings_are_listed_and_left_alone(self, site, values):
        """Not even the Call-ID and CSeq of the bindings are touched."""
        site.send(PHONE, cseq=7)
        before = site.bindings()

        reply = site.send(cseq=3)

        assert values(reply, "Contact") == ["<sip:alice@192.0.2.1>;expires=3600"]
        assert site.bindings() == before

    def test_expires_without_contact_means_nothing(self, site):
        """Expires: 0 alone removes nothing."""
        site.send(PHONE)

        assert site.send(expires=0).status == 200
        assert site.contacts() == ["sip:alice@192.0.2.1"]


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


class TestExpiration:
    """Step 7, first half: the interval of each contact."""

    def test_the_parameter_comes_first_then_the_field_then_the_default(self, make_site, values):
        """ "expires" in the value, else Expires, else what is configured."""
        site = make_site(default_expires=1800)

        assert values(site.send(f"{PHONE};expires=120", DESK, expires=240), "Contact") == [
            "<sip:alice@192.0.2.1>;expires=120",
            "<sip:alice@192.0.2.2>;expires=240",
        ]
        assert values(site.send(PHONE), "Contact")[1] == "<sip:alice@192.0.2.1>;expires=1800"

    @pytest.mark.parametrize("malformed", ["-5", "abc", '"3600"', "1.5", "", "0x10", "٣"])
    def test_a_malformed_value_counts_as_an_hour(self, site, values, malformed):
        """10.2: "Malformed values SHOULD be treated as equivalent to 3600"."""
        assert site.send(PHONE, expires=malformed or ";").status == 200
        assert values(site.send(), "Contact") == ["<sip:alice@192.0.2.1>;expires=3600"]

    @pytest.mark.parametrize("huge", ["86401", "4294967295", "4294967296", "99999999999", "9" * 5000])
    def test_a_long_request_is_shortened(self, site, values, huge):
        """The registrar may choose less; beyond 2**32-1 all is one. Kamailio: 3600."""
        assert values(site.send(f"{PHONE};expires={huge}"), "Contact") == [
            "<sip:alice@192.0.2.1>;expires=86400"
        ]

    def test_zero_removes(self, site):
        """10.2.2: by the parameter or by the field, for that contact only."""
        site.send(PHONE, DESK)

        assert site.send(f"{PHONE};expires=0").status == 200
        assert site.contacts() == ["sip:alice@192.0.2.2"]
        assert site.send(DESK, expires=0).status == 200
        assert site.contacts() == []

    def test_removing_what_is_not_there_is_no_error(self, site):
        """The phone wants it gone, and it is."""
        site.send(PHONE)

        assert site.send(f"{DESK};expires=0").status == 200
        assert site.contacts() == ["sip:alice@192.0.2.1"]

    @pytest.mark.parametrize("expires", [1, 9])
    def test_too_brief_is_refused_with_the_minimum(self, site, values, expires):
        """423, which "MUST contain a Min-Expires header field"; nothing is stored."""
        reply = site.send(f"{DESK};expires=600", PHONE, expires=expires)

        assert (reply.status, reply.reason) == (423, "Interval Too Brief")
        assert values(reply, "Min-Expires") == ["10"]
        assert site.contacts() == []

    def test_the_minimum_is_enough(self, site, values):
        """Only a smaller value is too brief."""
        assert values(site.send(f"{PHONE};expires=10"), "Contact") == ["<sip:alice@192.0.2.1>;expires=10"]

    def test_an_hour_is_never_too_brief(self, make_site):
        """ "If and only if … greater than zero AND smaller than one hour AND less than" the minimum."""
        site = make_site(min_expires=7200, default_expires=7200)

        assert site.send(f"{PHONE};expires=3599").status == 423
        assert site.send(f"{PHONE};expires=3600").status == 200
        assert site.send(f"{PHONE};expires=0").status == 200

    def test_brief_requests_may_be_raised_instead(self, make_site, values):
        """A switch for phones that give up at 423; Kamailio's default."""
        site = make_site(raise_brief=True, min_expires=60)

        assert values(site.send(f"{PHONE};expires=10"), "Contact") == ["<sip:alice@192.0.2.1>;expires=60"]

    def test_a_binding_ends_when_its_interval_does(self, site):
        """10.2.2: soft state. Not one lookup later."""
        site.send(f"{PHONE};expires=60")

        site.now += 59.9
        assert site.contacts() == ["sip:alice@192.0.2.1"]
        site.now += 0.1
        assert site.contacts() == []

    def test_the_200_gives_what_is_left(self, site, values):
        """Each value has the interval as it is now, never 0, which would mean removed."""
        site.send(f"{PHONE};expires=60")

        site.now += 30.5
        assert values(site.send(), "Contact") == ["<sip:alice@192.0.2.1>;expires=29"]
        site.now += 29.0
        assert values(site.send(), "Contact") == ["<sip:alice@192.0.2.1>;expires=1"]


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


class TestAtomicity:
    """10.3: "either processed completely or not at all"."""

    @pytest.mark.parametrize(
        ("second", "status"),
        [
            ("<sip:>", 400),
            ("<sip:alice@>", 400),
            ("<sip:alice@192.0.2.3:99999>", 400),
            ("sip:user@example.com?Route=%3Csip:sip.example.com%3E", 400),
            ("<sip:alice@192.0.2.3>;q=7", 400),
            ("<sip:alice@192.0.2.3>;q=1.001", 400),
            ("<sip:alice@192.0.2.3>;q=0.1234", 400),
            ("<sip:alice@192.0.2.3>;q", 400),
            ("<sip:alice@192.0.2.3", 400),
            ("<sip:alice@192.0.2.3>;expires=5", 423),
            ("<sip:alice@192.0.2.2>", 500),
            ("<sips:alice@192.0.2.2>", 400),
        ],
    )
    def test_one_bad_contact_spoils_the_request(self, site, second, status):
        """Kamailio stores the contacts before the bad one. R08, R10."""
        site.send(DESK, cseq=5)
        before = site.bindings()

        assert site.send(PHONE, second, cseq=4).status == status
        assert site.bindings() == before
        assert site.send(second, PHONE, cseq=4).status == status
        assert site.bindings() == before

    def test_nothing_is_changed_before_the_commit(self, site, make_register):
        """A plan is only a plan; the route may still drop it."""
        plan = site.registrar.plan(make_register(PHONE), ALICE, [], site.now)

        assert plan.reply.status == 200
        assert site.contacts() == []

    def test_a_commit_that_fails_is_a_500(self, site, make_register):
        """Step 7: "the request MUST fail with a 500 (Server Error) response"."""
        plan = site.registrar.plan(make_register(PHONE), ALICE, [], site.now)

        assert site.registrar.reply(plan, Outcome.DONE).status == 200
        assert site.registrar.reply(plan, Outcome.CONFLICT).status == 500
        assert site.registrar.reply(plan, OSError("disk full")).status == 500

    def test_an_update_says_what_it_saw(self, site, make_register):
        """A store shared with others can refuse an outdated update."""
        site.send(DESK, call_id="other")
        (desk,) = site.bindings()

        plan = site.registrar.plan(make_register(PHONE), ALICE, [desk], site.now)

        assert isinstance(plan.update, LocationUpdate)
        assert (plan.update.aor, plan.update.before) == (ALICE, (desk,))
        assert [b.contact for b in plan.update.stored] == ["sip:alice@192.0.2.1"]
        assert plan.update.removed == ()


class TestLimits:
    """limits.py: the memory for one address-of-record is bounded."""

    def test_too_many_contacts(self, make_site, values):
        """503, nothing changed; the UA then acts as after a 500 (21.5.4)."""
        site = make_site(limits=Limits(bindings_per_aor=2))
        site.send(PHONE, DESK)

        reply = site.send("<sip:alice@192.0.2.3>")

        assert (reply.status, values(reply, "Retry-After")) == (503, [])
        assert len(site.contacts()) == 2
        # Present bindings may be refreshed, and replaced within one request.
        assert site.send(PHONE).status == 200
        assert site.send(f"{PHONE};expires=0", "<sip:alice@192.0.2.3>").status == 200

    def test_the_policy_may_allow_fewer(self, make_site, values):
        """R13: max_contacts, with Retry-After if the operator wants one."""
        site = make_site(max_contacts=1, retry_after=30)
        site.send(PHONE)

        reply = site.send(DESK)

        assert (reply.status, values(reply, "Retry-After")) == (503, ["30"])

    def test_a_smaller_limit_does_not_lock_out_who_is_there(self, make_site):
        """After a change of policy, three old bindings still refresh and go."""
        site = make_site()
        site.send(PHONE, DESK, "<sip:alice@192.0.2.3>")
        site.registrar = Registrar(limits=Limits(bindings_per_aor=2))

        assert site.send(PHONE).status == 200
        assert site.send(f"{DESK};expires=0").status == 200

    def test_a_request_with_no_end_of_contacts(self, make_site):
        """Refused before they are compared with each other."""
        site = make_site(limits=Limits(bindings_per_aor=2))

        assert site.send(*(f"<sip:a@192.0.2.1:{n}>;expires=0" for n in range(1, 4))).status == 503

    def test_too_many_addresses_of_record(self, make_site):
        """``aors``: 503, nothing changed."""
        site = make_site(limits=Limits(aors=1))
        site.send(PHONE)

        assert site.send(PHONE, to="<sip:bob@example.com>").status == 503
        assert site.send(PHONE).status == 200

    @pytest.mark.parametrize(
        ("contact", "headers"),
        [
            (f"<sip:{'a' * 300}@192.0.2.1>", ()),
            (f"{PHONE};x={'a' * 300}", ()),
            (f'{PHONE};+sip.instance="<urn:{"a" * 300}>"', ()),
            (PHONE, ("Supported: path", f"Path: <sip:{'a' * 300}@edge.example;lr>")),
        ],
    )
    def test_a_contact_too_large(self, make_site, contact, headers):
        """``binding_size``: 400; a binding is held for hours."""
        site = make_site(limits=Limits(binding_size=300))

        assert site.send(PHONE).status == 200
        reply = site.send(contact, headers=headers)
        assert (reply.status, reply.reason) == (400, "Binding Too Large")

    def test_a_long_user_agent_is_cut(self, site):
        """A longer text has no use, and is no reason to refuse a phone."""
        site.send(PHONE, headers=[f"User-Agent: {'x' * 500}"])

        assert site.bindings()[0].user_agent == "x" * 128


class TestResponse:
    """Step 8: the 200."""

    def test_every_current_binding_is_in_it(self, site, values):
        """One line each, those of other phones too, best first."""
        site.send(f"{PHONE};q=0.35;expires=60", call_id="phone")

        reply = site.send(f"{DESK};q=0.5", call_id="desk")

        assert values(reply, "Contact") == [
            "<sip:alice@192.0.2.2>;expires=3600;q=0.5",
            "<sip:alice@192.0.2.1>;expires=60;q=0.35",
        ]

    def test_it_tells_the_time(self, site, make_register, values):
        """ "The response SHOULD include a Date header field" (20.17)."""
        reply = site.answer(make_register(PHONE), wall_offset=1289690940.0 - site.now)

        assert values(reply, "Date") == ["Sat, 13 Nov 2010 23:29:00 GMT"]

    def test_it_tells_no_time_it_does_not_know(self, site, values):
        """The core has no clock."""
        assert values(site.send(PHONE), "Date") == []

    def test_it_says_what_is_supported(self, site, values):
        """RFC 3327 5.3, RFC 5626 6."""
        assert values(site.send(PHONE), "Supported") == ["outbound, path"]

    def test_a_service_route_is_given_in_order(self, make_site, values):
        """RFC 3608 6.3: the phone uses it for its own requests."""
        route = ("<sip:p2.example.com;lr>", "<sip:hsp.example.com;lr>")

        assert values(make_site(service_route=route).send(PHONE), "Service-Route") == list(route)

    def test_the_source_is_shown_if_the_operator_wants_it(self, make_site, values):
        """R14: what Kamailio calls the received parameter."""
        reply = make_site(show_received=True).send(PHONE, received=SOURCE)

        assert values(reply, "Contact") == [
            '<sip:alice@192.0.2.1>;expires=3600;received="sip:198.51.100.1:1024"'
        ]

    def test_the_instance_of_a_device_is_returned(self, site, values):
        """RFC 5627 5.2, RFC 5626 6: with whatever else describes it (RFC 3840)."""
        contact = f'{PHONE};expires=600;+sip.instance="<urn:uuid:1>";reg-id=1;audio;methods="INVITE,BYE"'

        assert values(site.send(contact), "Contact") == [contact]

    def test_there_is_no_record_route(self, site, values):
        """10.3: ignored in the request, never in a response."""
        reply = site.send(PHONE, headers=["Record-Route: <sip:p1.example.com;lr>"])

        assert (reply.status, values(reply, "Record-Route")) == (200, [])


class TestSips:
    """RFC 5630 5.2: a SIPS contact needs SIPS all the way."""

    def test_over_a_sip_request_uri_it_is_refused(self, site):
        """400."""
        assert site.send("<SIPS:alice@192.0.2.1>").status == 400
        assert site.send("<sips:alice@192.0.2.1>", uri="sips:example.com").status == 200

    def test_every_path_value_is_looked_at(self, site):
        """One hop that is not secure is enough."""
        path = ["Supported: path", "Path: <sips:p1.example.com;lr>, <sip:p2.example.com;lr>"]

        assert site.send("<sips:alice@192.0.2.1>", uri="sips:example.com", headers=path).status == 400
        assert site.send("<sips:alice@192.0.2.1>", uri="sips:example.com", headers=path[:1]).status == 200

    def test_a_sip_contact_may_come_by_sips(self, site):
        """Only the other direction loses security."""
        assert site.send(PHONE, uri="sips:example.com", to="<sips:alice@example.com>").status == 200


class TestPath:
    """RFC 3327 5.3."""

    PATH = ("Path: <sip:p3.example.com;lr>,<sip:p1.example.com;lr>", "Path: <sip:p0.example.com;lr>")
    VALUES = ("<sip:p3.example.com;lr>", "<sip:p1.example.com;lr>", "<sip:p0.example.com;lr>")

    def test_it_is_kept_with_the_binding_and_returned(self, site, values):
        """The order of the values is preserved."""
        reply = site.send(PHONE, headers=[*self.PATH, "Supported: path"])

        assert site.bindings()[0].path == self.VALUES
        assert values(reply, "Path") == list(self.VALUES)

    def test_each_refresh_sets_it_anew(self, site):
        """A phone that moved away from the edge proxy is reached directly."""
        site.send(PHONE, headers=[*self.PATH, "Supported: path"])
        site.send(PHONE)

        assert site.bindings()[0].path == ()

    def test_a_phone_that_does_not_support_it_is_refused(self, site, values):
        """ "The recommended policy is … to reject the request with a 420"."""
        reply = site.send(PHONE, headers=self.PATH)

        assert (reply.status, values(reply, "Unsupported")) == (420, ["path"])
        assert site.contacts() == []

    def test_or_is_served_and_not_told(self, make_site, values):
        """ "Some registrars MAY choose to support the extension"; 8.2.4 then keeps it out of the 200."""
        site = make_site(path="lenient")

        reply = site.send(PHONE, headers=self.PATH)

        assert (reply.status, values(reply, "Path")) == (200, [])
        assert site.bindings()[0].path == self.VALUES

    def test_or_path_is_not_known_at_all(self, make_site, values):
        """Then it is ignored when present (8.2.2) and refused when required."""
        site = make_site(path="ignore")

        reply = site.send(PHONE, headers=[*self.PATH, "Supported: path"])

        assert (reply.status, values(reply, "Path"), values(reply, "Supported")) == (200, [], [])
        assert site.bindings()[0].path == ()
        assert site.send(PHONE, headers=["Require: path"]).status == 420

    @pytest.mark.parametrize(
        "path", ["Path: garbage", "Path: <sip:p1.example.com", "Path: sip:p1.example.com"]
    )
    def test_a_path_that_cannot_be_a_route_is_refused(self, site, path):
        """Every call to the phone would fail later."""
        assert site.send(PHONE, headers=[path, "Supported: path"]).status == 400
