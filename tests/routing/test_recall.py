"""Remembered keys: a user with the right password is answered at once, and all others wait as before."""

from __future__ import annotations

from sansip.auth import AuthConfig, Lookup, compute_response, ha1
from tests.rig import Rig, only, request, what

REALM = "biloxi.test"


def keys(password: str) -> dict[str, str]:
    return {"MD5": ha1("alice", REALM, password, "MD5")}


def rig_with(remembered: str | None) -> Rig:
    """Return a stack that remembers that password of alice's, and asks for everything else."""
    rig = Rig(auth=AuthConfig(algorithms=["MD5"]))
    rig.stack.recall = lambda lookup: (
        keys(remembered) if remembered and lookup == Lookup("alice", REALM) else None
    )
    return rig


def credentials(rig: Rig, user: str, password: str) -> bytes:
    """Return a REGISTER of ``user``, after the challenge."""
    challenge = only(rig.udp(request("REGISTER", f"sip:{REALM}")), "401").message
    nonce = challenge.typed("www-authenticate")[0].nonce
    key = ha1(user, REALM, password, "MD5")
    response = compute_response(
        key,
        "REGISTER",
        f"sip:{REALM}",
        nonce,
        algorithm="MD5",
        qop="auth",
        nc="00000001",
        cnonce="c",
        body=b"",
    )
    line = (
        f'Digest username="{user}", realm="{REALM}", nonce="{nonce}", uri="sip:{REALM}",'
        f' response="{response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"'
    )
    to = f"<sip:{user}@{REALM}>"
    return request("REGISTER", f"sip:{REALM}", branch="z9hG4bKb", to=to, headers=[("Authorization", line)])


def test_right_password_is_not_asked_for() -> None:
    """The store is not asked, and the nonce count is used up all the same."""
    rig = rig_with("pw")
    data = credentials(rig, "alice", "pw")
    assert what(rig.udp(data)) == ["200"]
    assert rig.asks == []
    again = data.replace(b"z9hG4bKb", b"z9hG4bKc")
    assert what(rig.udp(again)) == ["401"]


def test_wrong_password_is_asked_for() -> None:
    """The answer is that for an unknown user: both must take the same time."""
    rig = rig_with("pw")
    for user in ("alice", "nobody"):
        rig.asks.clear()
        assert rig.udp(credentials(rig, user, "guess")) == []
        (question,) = rig.asks
        assert question.question == Lookup(user, REALM)
        assert what(rig.answer(keys("pw") if user == "alice" else None, question)) == ["401"]


def test_changed_password_is_found_in_the_store() -> None:
    """The remembered key is too old, so the store decides."""
    rig = rig_with("old")
    assert rig.udp(credentials(rig, "alice", "new")) == []
    (question,) = rig.asks
    assert what(rig.answer(keys("new"), question)) == ["200"]
