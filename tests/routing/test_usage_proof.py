"""A SUBSCRIBE and a PUBLISH with a password are admitted from their octets, as on the long way."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from sansip.auth import AuthConfig, compute_response, ha1
from tests.proxy.sides import known
from tests.routing.test_usages import PIDF, Pair, publish, subscribe, tag_of

CONFIGS: dict[str, Any] = {
    "usual": {"auth": AuthConfig()},
    "closed": {"auth": AuthConfig(), "open": False},
    "informed": {"auth": AuthConfig(authentication_info=True, algorithms=("SHA-256", "MD5")), "open": False},
    "named": {"auth": AuthConfig(authentication_info=True), "server_name": "sansip", "open": False},
}


class Proving(Pair):
    """Two stacks that know alice and bob, and answers to their last challenge."""

    def __init__(self, name: str = "closed") -> None:
        super().__init__(users=known, recall=known, **CONFIGS[name])
        self.nonce = ""
        self.count = 0

    def proof(self, method: str, uri: str, body: bytes = b"", **changes: str) -> str:
        """Return a line Authorization, with its end."""
        self.count += 1
        values = {"username": "alice", "realm": "biloxi.test", "uri": uri, "nonce": self.nonce, "cnonce": "c"}
        values |= {
            "nc": f"{self.count:08x}",
            "qop": "auth",
            "algorithm": "MD5",
            "password": "secret",
            **changes,
        }
        key = ha1(values["username"], values["realm"], values.pop("password"), values["algorithm"])
        names = ("algorithm", "qop", "nc", "cnonce")
        made = {one: values[one] for one in names}
        response = compute_response(key, method, values["uri"], values["nonce"], body=body, **made)
        values["response"] = response
        bare = ("nc", "qop", "algorithm")
        pairs = [f"{one}={value}" if one in bare else f'{one}="{value}"' for one, value in values.items()]
        return f"Authorization: Digest {', '.join(pairs)}\r\n"

    def ask(self, data: bytes) -> None:
        """Have ``data``, which has no proof, challenged."""
        answer = self.send(data)
        assert answer.startswith("SIP/2.0 401")
        self.nonce = re.findall(r'nonce="([^"]+)"', answer)[-1]
        self.count = 0

    def watch(self, tag: str = "", cseq: int = 2, more: str = "{}", **changes: str) -> bytes:
        uri = "sip:192.0.2.10:5060" if tag else "sip:bob@biloxi.test"
        proof = self.proof("SUBSCRIBE", changes.pop("asked", uri), **changes)
        return subscribe(tag, cseq, branch=f"z9hG4bKw{cseq}{self.count}", more=more.format(proof))

    def publish(self, etag: str, cseq: int, body: str = "", **changes: str) -> bytes:
        proof = self.proof("PUBLISH", "sip:bob@biloxi.test", body.encode(), **{"username": "bob", **changes})
        return publish(etag, cseq, body, branch=f"z9hG4bKp{cseq}{self.count}", more=proof)


def tag_in(answer: str) -> str:
    assert answer.startswith("SIP/2.0 200"), answer
    return answer.partition("\r\nTo: ")[2].partition("tag=")[2].partition("\r\n")[0]


def begun(name: str = "closed") -> tuple[Proving, str]:
    pair = Proving(name)
    pair.ask(subscribe())
    assert pair.taken == 0
    answer = pair.send(pair.watch())
    tag = tag_in(answer)
    assert ("Authentication-Info: " in answer) == (name in ("informed", "named"))
    assert pair.taken == 1
    pair.taken = 0
    return pair, tag


@pytest.mark.parametrize("name", CONFIGS)
def test_subscriptions(name: str) -> None:
    """RFC 6665 4.2.1.3: begun and refreshed by who knows the password; RFC 7616 3.5: so does the server."""
    pair, tag = begun(name)
    for number in range(3, 7):
        answer = pair.send(pair.watch(tag, number))
        assert answer.startswith("SIP/2.0 200")
        assert ("Authentication-Info: " in answer) == (name in ("informed", "named"))
        pair.wait(3.0)
    assert pair.taken == 4
    pair.wait(4_000.0)


@pytest.mark.parametrize("name", CONFIGS)
def test_publications(name: str) -> None:
    """RFC 3903 14.1, RFC 7616 3.5: the answer says what the long way's says of the password."""
    pair, _ = begun(name)
    pair.ask(publish("", 1, PIDF.format("open")))
    etag = tag_of(pair.send(pair.publish("", 2, PIDF.format("open"))))
    for number, body in enumerate(("", PIDF.format("closed"), PIDF.format("open")), 3):
        answer = pair.send(pair.publish(etag, number, body, qop="auth-int" if number == 4 else "auth"))
        if number != 4:
            assert ("Authentication-Info: " in answer) == (name in ("informed", "named"))
        if answer.startswith("SIP/2.0 200"):
            etag = tag_of(answer)
    assert pair.taken >= 2
    pair.wait(700.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "guessed"},
        {"username": "bob"},
        {"username": "nobody"},
        {"username": "alice@biloxi.test"},
        {"realm": "other.test"},
        {"nonce": "made up"},
        {"nc": "00000001"},
        {"asked": "sip:bob@other.test"},
        {"asked": "sip:bob@192.0.2.10:5060"},
        {"algorithm": "SHA-256"},
        {"more": ""},
        {"more": "{0}{0}"},
        {"more": "Proxy-{}"},
        {"more": "authorization: Digest\r\n"},
        {"more": "Authorization: Bearer abc\r\n"},
        {"more": "Authorization: \r\n"},
        {"more": "Require: x\r\n{}"},
        {"more": "Accept: text/none\r\n{}"},
    ],
)
@pytest.mark.parametrize("again", [False, True], ids=["first", "refresh"])
def test_other_proofs(changes: dict[str, str], again: bool) -> None:
    """Who proves nothing, or another user, gets what the long way gives, and the next one as well."""
    pair, tag = begun()
    pair.send(pair.watch(tag if again else "", 3, **changes))
    pair.wait(0.5)
    # What counted there, counts here.
    pair.count = 1
    for number in range(4, 7):
        pair.send(pair.watch(tag, number))
    pair.wait(40.0)


def test_a_repeated_proof() -> None:
    """RFC 7616 3.3: a nonce-count that was used proves nothing; a retransmission gets the answer again."""
    pair, tag = begun()
    data = pair.watch(tag, 3)
    assert pair.send(data).startswith("SIP/2.0 200")
    assert pair.send(data).startswith("SIP/2.0 200")
    pair.count -= 1
    assert pair.send(pair.watch(tag, 4)).startswith("SIP/2.0 401")


def test_a_publication_of_another() -> None:
    """RFC 3903 14.1: nobody publishes for another user."""
    pair, _ = begun()
    pair.ask(publish("", 1, PIDF.format("open")))
    etag = tag_of(pair.send(pair.publish("", 2, PIDF.format("open"))))
    line = pair.proof("PUBLISH", "sip:bob@biloxi.test")
    forged = publish(etag, 3, branch="z9hG4bKforged", more=line).replace(
        b"From: <sip:bob", b"From: <sip:alice"
    )
    assert pair.send(forged).startswith("SIP/2.0 403")


def test_rows_that_fail_or_wait() -> None:
    """An answer that waits for the store belongs to a sender who has proved who it is."""
    pair, tag = begun("named")
    full = OSError("the disk is full")
    pair.rows = lambda bench, asked: full
    assert pair.send(pair.watch(tag, 3)).startswith("SIP/2.0 503")
    assert pair.send(pair.watch("", 4)).startswith("SIP/2.0 503")
    pair.rows = None
    pair.send(pair.watch(tag, 5))
    pair.wait(4.5)
    pair.release()
    pair.wait(40.0)
    assert pair.taken >= 3


def test_a_mixed_life() -> None:
    """Hundreds of requests, some with a wrong proof, some twice or broken: the same actions."""
    pair, tag = begun("informed")
    pair.ask(publish("", 1, PIDF.format("open")))
    etag = tag_of(pair.send(pair.publish("", 1, PIDF.format("open"))))
    chance = random.Random(5)
    for number in range(2, 300):
        wrong = {"password": "x"} if chance.random() < 0.02 else {}
        if chance.random() < 0.05:
            pair.count -= 1
        if chance.random() < 0.5:
            data = pair.watch(tag, number, **wrong)
        else:
            body = chance.choice(("", PIDF.format("open"), PIDF.format("closed")))
            data = pair.publish(etag, number, body, **wrong)
        if chance.random() < 0.1:
            at = chance.randrange(len(data))
            data = data[:at] + bytes([chance.choice(b' \r\n:;,<a0"\xff')]) + data[at + 1 :]
        answer = pair.send(data)
        if "SIP-ETag: " in answer:
            etag = tag_of(answer)
        found = re.findall(r'nonce="([^"]+)"', answer)
        if found:
            pair.nonce, pair.count = found[-1], 0
        pair.wait(chance.choice((0.0, 0.1, 1.0, 10.0)))
        if answer.startswith("SIP/2.0 412"):
            made = pair.send(pair.publish("", number, PIDF.format("open")))
            if made.startswith("SIP/2.0 200"):
                etag = tag_of(made)
    assert pair.taken > 60
