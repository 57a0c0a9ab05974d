"""An ACK or BYE that is sent on from its octets leaves as the long way would have sent it."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.limits import Limits
from sansip.proxy import ProxyConfig
from sansip.routing import TrustedPeer
from sansip.routing.passages import Passages
from tests.proxy.sides import BUSY, CALLEE, INVITE, RINGS, TAKES, TRIES, Side, compare

CALL = [INVITE, RINGS, TAKES]
WITHIN = [("within", "ACK", ""), ("within", "BYE", "")]


class Counted:
    """Counts what has passed; the class is compiled in one build, so nothing derives from it."""

    def __init__(self, passages: Passages) -> None:
        self.passages = passages
        self.count = 0

    def sends(self, *given: Any) -> bool:
        sent = self.passages.sends(*given)
        self.count += sent
        return sent


def test_both_requests_of_a_call_pass() -> None:
    """Without this the comparisons below would prove nothing; a retransmission is for the transaction."""
    side = Side()
    passages = side.stack.reception.passages
    assert passages is not None
    counted: Any = Counted(passages)
    side.stack.reception.passages = counted
    for step in [*CALL, *WITHIN, WITHIN[1], ("within", "INFO", "")]:
        side.play(step)
    assert counted.count == 2


ENDS: tuple[list[tuple[Any, ...]], ...] = (
    [],
    [("response", "200 OK", "", CALLEE, True)],
    [("response", "481 Gone", "", CALLEE, True)],
    [TRIES, ("wait", 5.0), ("response", "200 OK", "", CALLEE, True)],
    [("failed",)],
    [("wait", 10.0), WITHIN[1], BUSY],
    [("response", "200 OK", "", CALLEE, False)],
)


@pytest.mark.parametrize("end", range(len(ENDS)))
def test_whatever_becomes_of_the_bye(end: int) -> None:
    """RFC 3261 16.7, RFC 4320: answers, failures and silence of the far side, as for any relay."""
    compare([*CALL, *WITHIN, ("last",), *ENDS[end]])


@pytest.mark.parametrize(
    "more",
    [
        {"auth": AuthConfig()},
        {"trusted": [TrustedPeer("192.0.2.1", "carrier")]},
        {"proxy": ProxyConfig(dialog_tokens=False)},
        {"proxy": ProxyConfig(force_rport="always")},
        {"proxy": ProxyConfig(tcp_above=500)},
        {"limits": Limits(source_rate=1, source_burst=2)},
        {"limits": Limits(transactions=3)},
        {"limits": Limits(max_breadth=1)},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "fields", ["", "P-Asserted-Identity: <sip:a@b>\n", "Max-Breadth: 1\n", "Require: x\n"]
)
def test_settings_count(more: dict[str, Any], fields: str) -> None:
    """Limits, trust and policy of the operator hold, whichever way a request goes."""
    within = [("within", "ACK", fields), ("within", "BYE", fields), ("within", "BYE", fields)]
    compare([*CALL, *within, *within], None, **more)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (";rport", ""),
        ("192.0.2.1:5060;branch", "192.0.2.1;branch"),
        ("192.0.2.1:5060;branch", "192.0.2.1:5099;branch"),
        ("192.0.2.1:5060;branch", "phone.test;branch"),
        ("192.0.2.1:5060;branch", "192.0.2.99:5060;branch"),
        ("UDP 192.0.2.1:5060", "TCP 192.0.2.1:5060"),
        ("z9hG4bK", "old"),
        (";tag=b", ";tag=x"),
        (";tag=b", ";tag=u-1"),
        (";tag=b", ";tag=r-1"),
        (";tag=b", ""),
        (";tag=a", ";tag=x"),
        ("Call-ID: a", "Call-ID: x"),
        ("bob@192.0.2.2:5060 SIP", "bob@192.0.2.3:5060 SIP"),
        ("bob@192.0.2.2:5060 SIP", "BOB@192.0.2.2:5060 SIP"),
        ("bob@192.0.2.2:5060 SIP", "bob@192.0.2.2:5060;x=1 SIP"),
        ("bob@192.0.2.2:5060 SIP", "bob@biloxi.test SIP"),
        ("Max-Forwards: 70", "Max-Forwards: 0"),
        ("Max-Forwards: 70", "Max-Forwards: 1"),
        ("Max-Forwards: 70", "Max-Forwards: 255"),
        ("Max-Forwards: 70\r\n", ""),
        ("Content-Length: 0", "Content-Length: 5"),
        ("Content-Length: 0\r\n", ""),
    ],
)
@pytest.mark.parametrize("method", ["ACK", "BYE"])
def test_other_spellings_end_alike(method: str, old: str, new: str) -> None:
    """RFC 3261 12.2, 16.3, 18.2.1, RFC 3581: each part of a request that decides where it goes."""
    compare([*CALL, ("spelled", method, old, new), ("last",), ("response", "200 OK", "", CALLEE, True)])


PARAMS = (
    ";transport=udp",
    ";transport=UDP",
    ";line=4f2a",
    ";transport=tcp",
    ";ob",
    ";lr",
    ";maddr=192.0.2.9",
    ";gr=1",
)


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("method", ["ACK", "BYE"])
def test_a_remote_target_with_a_parameter_ends_alike(method: str, params: str) -> None:
    """RFC 3261 12.2.1.1, 19.1.1: the Contact of the callee is the Request-URI, whatever is in it."""
    contact = f"Contact: <sip:bob@192.0.2.2:5060{params}>"
    takes = ("response", "200 OK", "b", CALLEE, True, contact)
    asked = "bob@192.0.2.2:5060 SIP"
    for written in (params, params.upper(), ""):
        within = ("spelled", method, asked, f"bob@192.0.2.2:5060{written} SIP")
        compare([INVITE, RINGS, takes, within, ("last",), ("response", "200 OK", "", CALLEE, True)])


@pytest.mark.parametrize("params", PARAMS[:3])
def test_a_remote_target_as_phones_write_it_passes(params: str) -> None:
    """A phone's ``transport`` and ``line`` cost its calls no quick way."""
    side = Side()
    passages = side.stack.reception.passages
    assert passages is not None
    counted: Any = Counted(passages)
    side.stack.reception.passages = counted
    contact = f"Contact: <sip:bob@192.0.2.2:5060{params}>"
    asked = "bob@192.0.2.2:5060 SIP"
    side.play(INVITE)
    side.play(("response", "200 OK", "b", CALLEE, True, contact))
    for method in ("ACK", "BYE"):
        side.play(("spelled", method, asked, f"bob@192.0.2.2:5060{params} SIP"))
    assert counted.count == 2
