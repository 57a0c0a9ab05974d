"""Answering challenges, with the vectors of RFC 7616 and RFC 2617, and what a trace can make wrong."""

from __future__ import annotations

import pytest

from sansip_conformance import play_on_core, read_text
from sansip_conformance.credentials import digest_response

# RFC 7616 3.9.1: both algorithms.
RFC_7616 = {
    "username": "Mufasa",
    "realm": "http-auth@example.org",
    "uri": "/dir/index.html",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "nc": "00000001",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    "qop": "auth",
}


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_vectors(algorithm: str, expected: str) -> None:
    """RFC 7616 3.9.1."""
    given = {**RFC_7616, "algorithm": algorithm}
    assert digest_response(given, "Circle of Life", "GET") == expected


HEAD = """
domain biloxi.test
endpoint alice udp
user alice secret
alice > proxy REGISTER sip:biloxi.test
proxy > alice expect 401 as c1
alice > proxy REGISTER sip:biloxi.test
"""


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("credentials alice secret", "200"),
        ("credentials alice secret of c1", "200"),
        ("credentials alice wrong", "401|403"),
        ("credentials alice secret response=00", "401|403"),
        ("credentials alice secret realm=other.test", "401"),
    ],
)
def test_credentials(line: str, status: str) -> None:
    """Right ones pass; each parameter can be made wrong."""
    (trace,) = read_text(f"{HEAD}  {line}\nproxy > alice expect {status}\n")
    verdict = play_on_core(trace)
    assert verdict.outcome == "pass", verdict.reason


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("credentials alice secret colour=blue", "`colour=blue` unknown; after `credentials USER PASSWORD`"),
        ("credentials alice secret of c2", "no message is named c2 yet"),
        ("credentials alice secret algorithm=none", "no challenge has an algorithm that the suite knows"),
    ],
)
def test_mistakes(line: str, says: str) -> None:
    """Told with the line of the trace."""
    (trace,) = read_text(f"{HEAD}  {line}\nproxy > alice expect 200\n")
    verdict = play_on_core(trace)
    assert verdict.outcome == "fail"
    assert says in verdict.reason


def test_nothing_to_answer() -> None:
    """A challenge must have come."""
    (trace,) = read_text(
        "endpoint alice udp\nalice > proxy OPTIONS sip:biloxi.test\n  credentials alice secret\n"
    )
    verdict = play_on_core(trace)
    assert "alice has received no 401 or 407 to answer; expect one first" in verdict.reason
