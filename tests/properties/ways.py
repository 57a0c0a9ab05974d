"""Plays in hostile spelling on stacks that take the quick ways, and on one that takes none of them.

    python -m tests.properties.ways --seconds 300 --seed 7

Theory of operation: a play is a call with registrations, probes and repetitions in between, each message of
which may be spelled as a stranger would (``tests.properties.spelling``), on settings that are drawn as well.
The stacks get the same octets at the same times: the long one makes a message of everything and has the
default route decide, the middle one has no way by octets, the quick one has all. Whatever a quick way says
yes to, the actions are the same, octet for octet, and so is what the stack holds; what it says no to costs
nothing. A seed names a play, and a failure says the seed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from sansip.actions import Notify
from sansip.auth import AuthConfig
from sansip.limits import Limits
from sansip.module import PASS, Module, Use
from sansip.modules.calls import Calls
from sansip.modules.keepalive import Keepalive
from sansip.proxy import ProxyConfig, stateless
from sansip.registrar import RegistrarConfig
from sansip.routing import TrustedPeer, relaying
from tests.properties.played import play_on, words
from tests.properties.spelling import spell
from tests.proxy.sides import CALLEE, CALLER, OTHER, REGISTER, REQUEST, WITHIN, Side, reply, wire
from tests.routing.test_opening_proof import proof
from tests.wire.scanners import build, read_by

__all__ = ["CONFIGS", "Play", "play"]

_PROBE = """OPTIONS sip:biloxi.test SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKo;rport
Max-Forwards: 70
From: <sip:alice@atlanta.test>;tag=a
To: <sip:biloxi.test>
Call-ID: o
CSeq: 1 OPTIONS
Contact: <sip:alice@192.0.2.1:5060>
User-Agent: phone
Accept: application/sdp
Content-Length: 0

"""
# The ways by octets, and those by messages.
_BY_OCTETS = ("briefs", "usages", "passages", "openings")
_BY_MESSAGE = ("shortcut", "quick")


class Looks(Module):
    """Sees each message as it arrives, and reads some of them."""

    name = "looks"

    def message_arrived(self, message: Any, flow: Any, now: float) -> Any:
        return PASS


class Follows(Module):
    """Sees the copies that leave and the answers that come."""

    name = "follows"

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> None: ...

    def response_received(self, request: Any, branch: Any, response: Any) -> None: ...


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "passwords": {"auth": AuthConfig()},
    "passwords, told": {"auth": AuthConfig(authentication_info=True, algorithms=("SHA-256", "MD5"))},
    "trusted peer": {"trusted": [TrustedPeer("192.0.2.1", "carrier")]},
    "no marks": {"proxy": ProxyConfig(dialog_tokens=False)},
    "unmarked": {"proxy": ProxyConfig(unmarked_dialogs=True, plain_sips=True, recurse=True)},
    "not recorded": {"proxy": ProxyConfig(record_route=False)},
    "rport always": {"proxy": ProxyConfig(force_rport="always", via_maddr="trusted")},
    "rport never": {"proxy": ProxyConfig(force_rport="never", same_hop=False)},
    "by TCP where large": {"proxy": ProxyConfig(tcp_above=600)},
    "never by TCP": {"proxy": ProxyConfig(tcp_above=0)},
    "small limits": {
        "limits": Limits(header_size=400, head_size=900, via_count=3, route_count=3, uri_size=60)
    },
    "few": {
        "limits": Limits(pending_per_source=2, pending_per_callee=1, early_dialogs=1, bindings_per_aor=2)
    },
    "two a second": {"limits": Limits(source_rate=2, source_burst=3)},
    "crowded": {"limits": Limits(transactions=6, transactions_reserved=50)},
    "registrar": {
        "registrar": RegistrarConfig(
            min_expires=60, max_expires=600, default_expires=90, max_contacts=2, show_received=True,
            gruu=False, outbound=False, service_route=("<sip:192.0.2.99;lr>",),
        ),
        "server_name": "",
    },
    "calls": {"modules": [Use(Calls)]},
    "keepalive": {"modules": [Use(Keepalive)]},
    "looks": {"modules": [Use(Looks)]},
    "follows": {"modules": [Use(Follows)]},
}  # fmt: skip

# Returns the octets and their sender, from what a side has sent and the number of the message.
Make = Callable[[Side, int], tuple[bytes, tuple[str, int]]]


def _ours(side: Side, text: str) -> str:
    """Return ``text`` of a user of this server where that has passwords."""
    return text.replace("alice@atlanta.test", "alice@biloxi.test") if side.told[7:11] == b" 407" else text


def _fresh(text: str, number: int) -> str:
    return re.sub("branch=z9hG4bK", f"branch=z9hG4bKn{number}", text, count=1)


def _proof(side: Side, method: str, uri: str, body: bytes = b"", **changes: str) -> str:
    return proof(side, method, uri, body, **changes) if side.told[7:11] in (b" 407", b" 401") else ""


def _register(side: Side, number: int) -> tuple[bytes, tuple[str, int]]:
    text = _fresh(REGISTER, number).replace("CSeq: 1", f"CSeq: {number + 9}")
    line = _proof(side, "REGISTER", "sip:biloxi.test", username="bob", field="Authorization")
    return wire(text.replace("Expires", f"{line}Expires")), CALLEE


def _register_at_home(side: Side, number: int) -> tuple[bytes, tuple[str, int]]:
    data, source = _register(side, number)
    return data.replace(b"192.0.2.2:5060;branch", b"10.0.0.2:5060;rport;branch").replace(
        b"bob@192.0.2.2:5060", b"bob@10.0.0.2:5060"
    ), source


def _probe(side: Side, number: int) -> tuple[bytes, tuple[str, int]]:
    return wire(_fresh(_PROBE, number)), CALLER


def _first(method: str, side: Side, number: int, more: str = "") -> tuple[bytes, tuple[str, int]]:
    text = _ours(side, _fresh(REQUEST, number)).format(method=method, more="{more}")
    line = _proof(side, method, "sip:bob@biloxi.test", b"body")
    text = text.replace("CSeq: 1", f"CSeq: {number}")
    if method == "CANCEL":
        text = re.sub("branch=z9hG4bKn[0-9]+", f"branch=z9hG4bKn{getattr(side, 'invited', number)}", text)
    elif method == "INVITE":
        side.invited = number  # type: ignore[attr-defined]  # for a CANCEL
    return wire(text.replace("{more}", more + line)), CALLER


def _within(method: str, side: Side, number: int, far: bool = False) -> tuple[bytes, tuple[str, int]]:
    """``far``: from the callee."""
    head = side.told.decode("utf-8", "replace").split("\r\n")
    tag = next((line.partition(";tag=")[2] for line in head if line.startswith("To:")), "") or "b"
    text = WITHIN.replace(";tag=b", f";tag={tag}").replace("CSeq: 2", f"CSeq: {number + 50}")
    line = _proof(side, method, "sip:bob@192.0.2.2:5060")
    text = _fresh(text.format(method=method, more=line, route=side.route or "<sip:192.0.2.99;lr>"), number)
    if far:
        swapped = {
            "sip:bob@192.0.2.2:5060 SIP": "sip:alice@192.0.2.1:5060 SIP",
            "UDP 192.0.2.1": "UDP 192.0.2.2",
            "From: <sip:alice@atlanta.test>;tag=a": f"From: <sip:bob@biloxi.test>;tag={tag}",
            f"To: <sip:bob@biloxi.test>;tag={tag}": "To: <sip:alice@atlanta.test>;tag=a",
        }
        for old, new in swapped.items():
            text = (
                text.replace(old, new, 1)
                if old.startswith(("sip", "UDP", "From"))
                else new.join(text.rsplit(old, 1))
            )
        return wire(text), CALLEE
    return wire(text), CALLER


def _refused(side: Side, number: int) -> tuple[bytes, tuple[str, int]]:
    """The ACK of the last failure (RFC 3261 17.1.1.3)."""
    lines = side.told.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape").split("\r\n")
    kept = [line for line in lines if line.startswith(("Via", "From", "To", "Call-ID"))]
    kept = [line.replace(";rport=5060;received=192.0.2.1", "") for line in kept]
    text = "\r\n".join(
        [
            "ACK sip:bob@biloxi.test SIP/2.0",
            *kept,
            f"CSeq: {number} ACK",
            "Max-Forwards: 70",
            "Content-Length: 0",
            "",
            "",
        ]
    )
    return text.encode("utf-8", "surrogateescape"), CALLER


def _answer(status: str, side: Side, number: int, more: str = "") -> tuple[bytes, tuple[str, int]]:
    asked = [one for one in side.sent if not one.startswith((b"ACK", b"CANCEL"))]
    if not asked:
        return b"\r\n\r\n", CALLEE
    try:
        data = reply(asked[-1], status, "" if b";tag=b" in asked[-1] else "b", more=more)
    except UnicodeDecodeError:
        data = b"\r\n\r\n"
    return data, CALLEE


def _again(side: Side, number: int) -> tuple[bytes, tuple[str, int]]:
    """The last message once more."""
    given: tuple[bytes, tuple[str, int]] = getattr(side, "given", (b"\r\n\r\n", CALLER))
    return given


_ROUTED = "Route: <sip:192.0.2.99:5060;transport=udp;lr>\n"
_CALL: tuple[Make, ...] = (
    partial(_first, "INVITE"), partial(_answer, "180 Ringing"), partial(_answer, "200 OK"),
    partial(_within, "ACK"), partial(_within, "BYE"), partial(_answer, "200 OK"),
)  # fmt: skip
_BETWEEN: tuple[Make, ...] = (
    _register, _register, _register_at_home, _probe, _probe, _again, _refused, partial(_first, "INVITE"),
    partial(_first, "INVITE", more=_ROUTED), partial(_first, "MESSAGE"), partial(_first, "CANCEL"),
    partial(_within, "BYE", far=True), partial(_within, "ACK", far=True), partial(_within, "INFO"),
    partial(_within, "INVITE"), partial(_answer, "486 Busy Here"), partial(_answer, "100 Trying"),
    partial(_answer, "302 Moved"), partial(_answer, "200 OK", more="Contact: <sip:bob@10.0.0.2:5060>"),
    partial(_answer, "180 Ringing"), partial(_answer, "200 OK"), partial(_answer, "503 Gone"),
)  # fmt: skip
# A module that holds back what goes to the caller has a 2xx that comes again leave as the first one did;
# where calls ride (``sansip.modules.calls.riding``) it leaves as it came. So there each answer comes once.
_ONCE = tuple(
    make
    for make in _BETWEEN
    if make is not _again and not (isinstance(make, partial) and make.args[0] == "200 OK")
)
_SOURCES = (("192.0.2.1", 5061), OTHER, ("198.51.100.9", 40000), CALLER, CALLEE, ("10.0.0.1", 5060))


class Counted:
    """Counts what a way says yes to (it is compiled in one build, so nothing derives from it)."""

    def __init__(self, way: Any, name: str, yes: Counter[str]) -> None:
        self.way, self.name, self.yes = way, name, yes

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self.way, name)
        if name not in ("answers", "sends", "relays", "decides"):
            return asked

        def ask(*given: Any) -> Any:
            said = asked(*given)
            self.yes[self.name] += bool(said)
            return said

        return ask


@dataclass
class Play:
    """What one play was made of, and what said yes."""

    seed: int
    name: str
    messages: list[tuple[bytes, tuple[str, int]]] = field(default_factory=list)
    yes: Counter[str] = field(default_factory=Counter)


def play(seed: int, names: tuple[str, ...] = tuple(CONFIGS), most: int = 3) -> Play:
    """Play what ``seed`` says on all stacks, and assert that they act alike."""
    chance = Random(seed)
    done = Play(seed, chance.choice(names))
    more = CONFIGS[done.name]
    quick, middle, long = Side(None, **more), Side(None, **more), Side(None, **more)
    for way in _BY_OCTETS:
        setattr(middle.stack.reception, way, None)
        setattr(long.stack.reception, way, None)
    for way in _BY_MESSAGE:
        setattr(long.stack.reception, way, None)
    for way in _BY_OCTETS + _BY_MESSAGE:
        setattr(quick.stack.reception, way, Counted(getattr(quick.stack.reception, way), way, done.yes))
    rides = done.name == "calls"
    makes: list[Make] = list(_CALL)
    for _ in range(chance.choice((0, 1, 2, 4))):
        makes.insert(chance.randrange(len(makes) + 1), chance.choice(_ONCE if rides else _BETWEEN))
    if more.get("auth") and chance.random() < 0.8:
        makes[:0] = [partial(_first, "INVITE"), _refused]
    for number, make in enumerate(makes, 1):
        data, source = make(long, number)
        if chance.random() < 0.4 and not (rides and data.startswith(b"SIP")):
            data = spell(data, chance, chance.randint(1, most))
        if chance.random() < 0.05:
            source = chance.choice(_SOURCES)
        seconds = chance.choice((0.0, 0.0, 0.0, 0.3, 0.7, 5.0, 40.0, 200.0)) if chance.random() < 0.3 else 0.0
        done.messages.append((data, source))
        _feed(long, quick, middle, data, source, seconds, done)
    _feed(long, quick, middle, b"", CALLER, 400.0, done)
    return done


def _feed(
    long: Side, quick: Side, middle: Side, data: bytes, source: tuple[str, int], seconds: float, done: Play
) -> None:
    """Give the sides ``data``, unless it is empty, and let time pass."""
    given = ("made", lambda _: data, source)

    def act(side: Side) -> list[Any]:
        side.given = (data, source)  # type: ignore[attr-defined]  # what may come again
        return [_shown(one) for one in (side.play(given) if data else []) + side.pass_time(seconds)]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(relaying, "relay_usual", lambda *_, **__: None)
        patched.setattr(stateless, "direct_way", lambda *_: None)
        expected = act(long)
    for side in (middle, quick):
        actual = act(side)
        if actual != expected:
            name = "quick" if side is quick else "middle"
            pairs = zip_longest(expected, actual)
            wanted, got = next(pair for pair in pairs if pair[0] != pair[1])
            raise AssertionError(
                f"seed {done.seed}, {done.name}: the {name} way differs at message {len(done.messages)}\n"
                f"{data[:900]!r}\nfrom {source}\nexpected {wanted}\nactual   {got}"
            )
        held, as_well = _held(long.stack, not data), _held(side.stack, not data)
        assert as_well == held, f"seed {done.seed}, {done.name}: message {len(done.messages)}: {data!r}"


def _shown(action: Any) -> Any:
    """Return ``action`` as something that equals that of another stack."""
    if isinstance(action, tuple) and len(action) == 2:
        return action[0], _shown(action[1])
    # An object without an equality of its own, an exception.
    if not isinstance(action, Notify):
        return action
    return re.sub(" at 0x[0-9a-f]+|, won=.*gateway", "", repr(action))


def _held(stack: Any, ended: bool) -> list[Any]:
    """Return what ``stack`` holds; before all has ``ended``, one timer may stand for several."""
    counts = stack.snapshot()
    if not ended:
        del counts["timers"]
    pending = stack.proxy.pending
    return [
        counts,
        stack.location.snapshot(),
        stack.reception.rates._buckets,
        pending.sources,
        pending.callees,
    ]


def main() -> None:
    """Play for a while."""
    parser = words(__doc__)
    parser.add_argument("--scanner", action="store_true", help="read with the C module")
    options = parser.parse_args()
    folder = TemporaryDirectory()
    read_by(pytest.MonkeyPatch(), build(Path(folder.name)) if options.scanner else None)
    play_on(lambda seed: play(seed).yes, options)


if __name__ == "__main__":
    main()
