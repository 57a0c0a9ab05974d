"""The route-set matrix: every request of a dialog, both sides, every kind of Record-Route.

What a Request-URI and the Route lines must be is written out here, per side, from RFC 3261 12.1.1,
12.1.2, 12.2.1.1 and 13.2.2.4; nothing is computed. The proxies stand so: Alice, P1, P2, Bob. So
P2 records itself on top of P1, Alice meets P1 first and Bob meets P2 first.
``test_route_mutants`` shows that no line of the code can be changed without a test that fails.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sansip.dialog import Offered, Received
from sansip.wire import Request, parse_uri
from tests.dialog.pair import SDP, TYPE, Pair

ALICE = "sip:alice@pc33.atlanta.com"
BOB = "sip:bob@192.0.2.4"
MOVED = "sip:bob@198.51.100.7;transport=tcp"


@dataclass(frozen=True)
class Shape:
    """Record-Route as it is in the INVITE at Bob, and what each side must write.

    ``alice`` and ``bob``: the Request-URI, None for the peer's target, and the Route values,
    None among them for the peer's target.
    """

    name: str
    recorded: tuple[str, ...]
    alice: tuple[str | None, tuple[str | None, ...]]
    bob: tuple[str | None, tuple[str | None, ...]]


SHAPES = [
    # RFC 3261 12.2.1.1: no route set, no Route.
    Shape("none", (), (None, ()), (None, ())),
    Shape(
        "one",
        ("<sip:p1.atlanta.com;lr>",),
        (None, ("<sip:p1.atlanta.com;lr>",)),
        (None, ("<sip:p1.atlanta.com;lr>",)),
    ),
    # 12.1.2 reverse, 12.1.1 in order; each parameter stays (and those behind the bracket as well).
    Shape(
        "two",
        ("<sip:p2.biloxi.com;lr;ftag=19>", "<sip:p1.atlanta.com;lr=on;d=x>;note=1"),
        (None, ("<sip:p1.atlanta.com;lr=on;d=x>;note=1", "<sip:p2.biloxi.com;lr;ftag=19>")),
        (None, ("<sip:p2.biloxi.com;lr;ftag=19>", "<sip:p1.atlanta.com;lr=on;d=x>;note=1")),
    ),
    Shape(
        "two on one line",
        ("<sip:p2.biloxi.com;lr>, <sip:p1.atlanta.com;lr>",),
        (None, ("<sip:p1.atlanta.com;lr>", "<sip:p2.biloxi.com;lr>")),
        (None, ("<sip:p2.biloxi.com;lr>", "<sip:p1.atlanta.com;lr>")),
    ),
    # RFC 5658 3: a proxy between UDP and TCP records both of its sides, the outgoing one on top.
    Shape(
        "double",
        ("<sip:p1.atlanta.com;transport=tcp;lr;r2=on>", "<sip:p1.atlanta.com;lr;r2=on>"),
        (None, ("<sip:p1.atlanta.com;lr;r2=on>", "<sip:p1.atlanta.com;transport=tcp;lr;r2=on>")),
        (None, ("<sip:p1.atlanta.com;transport=tcp;lr;r2=on>", "<sip:p1.atlanta.com;lr;r2=on>")),
    ),
    # A strict router nearest to Alice: first for her, last for Bob.
    Shape(
        "strict for Alice",
        ("<sip:p2.biloxi.com;lr>", "<sip:p1.atlanta.com;x=1;method=INVITE?Subject=a>"),
        ("sip:p1.atlanta.com;x=1", ("<sip:p2.biloxi.com;lr>", None)),
        (None, ("<sip:p2.biloxi.com;lr>", "<sip:p1.atlanta.com;x=1;method=INVITE?Subject=a>")),
    ),
    Shape(
        "strict for Bob",
        ("<sip:p2.biloxi.com>", "<sip:p1.atlanta.com;lr>"),
        (None, ("<sip:p1.atlanta.com;lr>", "<sip:p2.biloxi.com>")),
        ("sip:p2.biloxi.com", ("<sip:p1.atlanta.com;lr>", None)),
    ),
    Shape(
        "strict alone",
        ("<sip:p1.atlanta.com>",),
        ("sip:p1.atlanta.com", (None,)),
        ("sip:p1.atlanta.com", (None,)),
    ),
]


def expected(shape: Shape, side: str, target: str) -> list[str]:
    """Return the Request-URI and the Route lines that a request of ``side`` must have."""
    uri, routes = shape.alice if side == "alice" else shape.bob
    return [uri or target, *(f"Route: {f'<{target}>' if one is None else one}" for one in routes)]


def written(request: Request) -> list[str]:
    """Return the values of the field, line for line."""
    return [
        request.uri_text,
        *(line for key, line in zip(request.keys, request.lines, strict=True) if key == "route"),
    ]


def everything(shape: Shape) -> list[tuple[str, str, Request, str]]:
    """Play calls in which every request is sent; return side, name, request, and its target."""
    found: list[tuple[str, str, Request, str]] = []

    def gather(pair: Pair, what: str, bob_target: str = BOB) -> None:
        for side, request in pair.requests[1:]:
            found.append(
                (side, f"{what}: {request.method}", request, bob_target if side == "alice" else ALICE)
            )
        del pair.requests[1:]

    def agree(end, event) -> None:
        if isinstance(event, Offered):
            end.do(end.usage.answer(event.owner, 200, SDP, TYPE, end.pair.now))
        elif isinstance(event, Received):
            end.do(end.usage.answer(event.owner, 200, b"", [], end.pair.now))

    # Early: PRACK, UPDATE of both sides, INFO; then the ACK for the 2xx.
    pair = Pair(recorded=shape.recorded, credentials='Digest username="alice"')
    pair.on_event = agree
    pair.ring(183, SDP, reliable=True)
    gather(pair, "early")
    for end in (pair.alice, pair.bob):
        end.do(end.usage.update(SDP, TYPE, 0.0))
        end.do(end.usage.request("INFO", [], b"", 0.0))
    gather(pair, "early")
    pair.accept()
    gather(pair, "first 2xx")
    # Confirmed, from either side; the ACK of a re-INVITE is its sender's.
    for end in (pair.alice, pair.bob):
        end.do(end.usage.invite(SDP, TYPE, 1.0))
        gather(pair, "re-INVITE")
        end.do(end.usage.update(SDP, TYPE, 1.0))
        end.do(end.usage.request("INFO", [], b"", 1.0))
        end.do(end.usage.request("REFER", [("Refer-To", "<sip:carol@chicago.com>")], b"", 1.0))
        gather(pair, "confirmed")
    # Bob moves: only the target changes, in his request and in his 2xx.
    pair.bob.usage.dialog.local_target = parse_uri(MOVED)
    pair.bob.do(pair.bob.usage.invite(SDP, TYPE, 2.0))
    pair.requests.clear()
    pair.requests.append(("alice", pair.invite))
    pair.alice.do(pair.alice.usage.invite(SDP, TYPE, 3.0))
    pair.alice.do(pair.alice.usage.bye([], 3.0))
    gather(pair, "moved", MOVED)
    # A CANCEL that lost the race: the 2xx is acknowledged, repeated, acknowledged again, and ended.
    pair = Pair(recorded=shape.recorded)
    pair.lost = {"ACK": 1}
    pair.accept()
    pair.bob.usage.cancelled(0.1)
    pair.alice.do(pair.alice.usage.bye([], 0.1))
    gather(pair, "CANCEL lost")
    # Bob hangs up; Bob hangs up because no ACK comes; Alice ends an early dialog.
    pair = Pair(recorded=shape.recorded)
    pair.accept()
    pair.bob.do(pair.bob.usage.bye([], 1.0))
    gather(pair, "hung up")
    pair = Pair(recorded=shape.recorded)
    pair.lost = {"ACK": 100, "200 INVITE": 100}
    pair.accept()
    pair.lost["BYE"] = 1
    pair.at(33)
    gather(pair, "no ACK")
    pair = Pair(recorded=shape.recorded)
    pair.ring()
    pair.alice.do(pair.alice.usage.bye([], 1.0))
    gather(pair, "early")
    return found


WANTED = {
    ("alice", "early: PRACK"),
    ("alice", "early: UPDATE"),
    ("bob", "early: UPDATE"),
    ("alice", "early: INFO"),
    ("bob", "early: INFO"),
    ("alice", "first 2xx: ACK"),
    *(
        (side, what)
        for side in ("alice", "bob")
        for what in (
            "re-INVITE: INVITE",
            "re-INVITE: ACK",
            "confirmed: UPDATE",
            "confirmed: INFO",
            "confirmed: REFER",
        )
    ),
    ("alice", "moved: INVITE"),
    ("alice", "moved: ACK"),
    ("alice", "moved: BYE"),
    ("alice", "CANCEL lost: ACK"),
    ("alice", "CANCEL lost: BYE"),
    ("bob", "hung up: BYE"),
    ("alice", "hung up: ACK"),
    ("bob", "no ACK: BYE"),
    ("alice", "early: BYE"),
}


def check(shape: Shape) -> None:
    """Play and compare all of it."""
    requests = everything(shape)
    assert {(side, what) for side, what, _, _ in requests} == WANTED
    for side, what, request, target in requests:
        assert written(request) == expected(shape, side, target), (shape.name, side, what)
        # RFC 3261 12.2.1.1: no other field says where it goes, and the route set is told once only.
        assert not request.has("record-route"), what
        if what == "first 2xx: ACK":
            # 13.2.2.4
            assert request.get("proxy-authorization") == 'Digest username="alice"'
            assert request.cseq == (314159, "ACK")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_request(shape: Shape) -> None:
    """One request that takes another way than the rest is a call that cannot be ended."""
    check(shape)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_response_repeats_the_route_set(shape: Shape) -> None:
    """RFC 3261 12.1.1: each response that begins the dialog has all of Record-Route, as it came."""
    pair = Pair(recorded=shape.recorded)
    pair.held = True
    pair.ring()
    pair.ring(183, SDP, reliable=True)
    responses = [message for _, message in pair.queue]
    pair.held = False
    pair.run()
    pair.held = True
    pair.accept()
    responses += [message for _, message in pair.queue]
    assert len(responses) == 3
    for response in responses:
        assert response.get_all("record-route") == list(shape.recorded)
        assert response.get("contact") == f"<{BOB}>"
