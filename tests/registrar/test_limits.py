"""The memory that one user can take: so many contacts, users, and octets of a binding."""

from __future__ import annotations

import pytest

from sansip.limits import Limits
from sansip.registrar import Registrar
from tests.registrar.conftest import DESK, PHONE


class TestLimits:
    """limits.py: the memory for one address-of-record is bounded."""

    def test_too_many_contacts(self, make_site, values):
        """503, nothing changed; the UA then acts as after a 500 (RFC 3261 21.5.4)."""
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
