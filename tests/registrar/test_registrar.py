"""RFC 3261 10.3, how a registrar treats a REGISTER: steps 2, 5 and 6, and all or nothing.

Steps 1, 3 and 4 (whose domain, who asks, may they) are the route's. Step 7 is in test_expiration.py and
test_merge.py, step 8 in test_reply.py.
"""

from __future__ import annotations

import pytest

from sansip.location import LocationUpdate, Outcome
from sansip.wire import Request
from tests.registrar.conftest import ALICE, DESK, PHONE


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
