"""Challenges and refusals cost the server nothing to keep (RFC 3261 8.2.7, 26.3.2.4)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.events import AuthenticationFailed
from tests.rig import ALICE, Rig, ack, only, request, what


@pytest.fixture
def rig() -> Rig:
    return Rig(auth=AuthConfig(), users=lambda lookup: None)


@pytest.mark.parametrize(("method", "status"), [("REGISTER", "401"), ("INVITE", "407"), ("MESSAGE", "407")])
def test_nothing_is_kept_of_a_challenge(method: str, status: str, rig: Rig) -> None:
    """No transaction, no timer, so no second copy to the owner of the forged address."""
    assert what(rig.udp(request(method, "sip:biloxi.test"))) == [status]
    assert rig.stack.snapshot()["server_transactions"] == 0
    assert rig.wait(60) == []
    assert rig.empty


def test_a_retransmission_gets_the_same_tag(rig: Rig) -> None:
    """8.2.7: the To tag is a function of the request; the nonce is a new one."""
    data = request("REGISTER", "sip:biloxi.test")
    first, second = (only(rig.udp(data), "401").message for _ in range(2))
    assert first.to_tag
    assert first.to_tag == second.to_tag
    other = only(rig.udp(request("REGISTER", "sip:biloxi.test", branch="z9hG4bKother")), "401").message
    assert other.to_tag != first.to_tag


def test_the_acknowledgement_of_a_challenge(rig: Rig) -> None:
    """The default route drops what belongs to nothing."""
    invite = request()
    refused = only(rig.udp(invite), "407")
    assert rig.udp(ack(invite, refused)) == []


def test_a_cancelled_invite_that_was_challenged(rig: Rig) -> None:
    """9.2: there is nothing to cancel any more."""
    rig.udp(request())
    assert what(rig.udp(request("CANCEL"))) == ["481"]


def test_while_the_store_is_asked() -> None:
    """A route that waited has sent a 100: the failure follows, and then nothing is kept."""
    rig = Rig(auth=AuthConfig())
    challenge = only(rig.udp(request("REGISTER", "sip:biloxi.test")), "401").message
    nonce = challenge.typed("www-authenticate")[0].nonce
    line = (
        f'Digest username="alice", realm="biloxi.test", nonce="{nonce}", uri="sip:biloxi.test", response="0",'
        ' qop=auth, nc=00000001, cnonce="c"'
    )
    data = request("REGISTER", "sip:biloxi.test", branch="z9hG4bKb", headers=[("Authorization", line)])
    assert rig.udp(data) == []
    # A retransmission meanwhile is the same question still.
    assert rig.udp(data) == []
    (question,) = rig.asks
    assert what(rig.answer(None, question)) == ["401"]
    rig.wait(60)
    assert rig.empty


def test_in_a_route() -> None:
    """``request.refuse`` is there for whatever a route does not believe."""

    def route(handle: Any) -> None:
        handle.refuse(403, "Not You", [("Retry-After", "60")])

    rig = Rig(route)
    (out,) = rig.udp(request("MESSAGE"))
    assert (out.what, out.to, out.message.get("retry-after")) == ("403", ALICE, "60")
    assert rig.stack.snapshot()["server_transactions"] == 0


@pytest.mark.parametrize(("user", "reason"), [("alice", "wrong password"), ("nobody", "no such user")])
def test_the_log_knows_more_than_the_guesser(user: str, reason: str) -> None:
    """An event for each wrong password, with its source; the answer is the same for both."""
    rig = Rig(
        auth=AuthConfig(), users=lambda lookup: {"MD5": "0" * 32} if lookup.username == "alice" else None
    )
    challenge = only(rig.udp(request("REGISTER", "sip:biloxi.test")), "401").message
    assert rig.events == []
    line = (
        f'Digest username="{user}", realm="biloxi.test", uri="sip:biloxi.test", response="0", qop=auth,'
        f' nc=00000001, cnonce="c", nonce="{challenge.typed("www-authenticate")[0].nonce}"'
    )
    data = request("REGISTER", "sip:biloxi.test", branch="z9hG4bKb", headers=[("Authorization", line)])
    assert what(rig.udp(data)) == ["401"]
    assert rig.events == [AuthenticationFailed(ALICE[0], user, "biloxi.test", reason)]


@pytest.mark.parametrize("method", ["ACK", "BYE", "INVITE"])
def test_credentials_for_us_go_no_further(method: str) -> None:
    """22.1, 22.3: an ACK has those of its INVITE, and phones send them unasked; others' pass. What we
    cannot read somebody else may be able to read, and it may be ours."""
    foreign = 'Digest username="alice", realm="elsewhere", nonce="n", uri="sip:x", response="0"'

    def route(handle: Any) -> None:
        handle.relay("sip:bob@192.0.2.2")

    rig = Rig(route, auth=AuthConfig(), users=lambda lookup: None)
    assert rig.stack.authenticator is not None
    (challenge,) = rig.stack.authenticator.challenges("biloxi.test", ALICE[0], rig.now, rig.now)
    ours = challenge.replace("Digest ", 'Digest username="alice", uri="sip:x", response="0", ')
    for headers, kept in (
        ([("Proxy-Authorization", ours), ("Proxy-Authorization", foreign)], [foreign]),
        ([("Proxy-Authorization", foreign)], [foreign]),
        ([("Proxy-Authorization", ours)], []),
        ([("Proxy-Authorization", "Digest ,")], []),
    ):
        data = request(method, to_tag="bob", branch=f"z9hG4bK{len(rig.log)}", headers=headers)
        out = only(rig.udp(data), method)
        assert out.message.get_all("proxy-authorization") == kept
