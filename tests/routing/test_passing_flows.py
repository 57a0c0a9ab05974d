"""An ACK or BYE between phones behind NATs leaves from its octets as the long way would have sent it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.routing.passing_flows import joined_routes
from tests.proxy.sides import BUSY, CALLEE, CALLER, OTHER, RINGS, TAKES, Side, compare
from tests.routing.test_opening_flows import BEHIND, CONFIGS, HOME_RINGS, HOME_TAKES, INVITE
from tests.routing.test_passages import Counted

Change = Callable[[str], str]
ENDED = ("response", "200 OK", "", CALLEE, True)


def within(
    method: str, change: Change = str, *, lines: bool = True, source: Any = CALLER, of: str = "a"
) -> Any:
    """Return the step of a request within the dialog, by the route set that its side was told.

    ``lines``: each value of Route has a line. ``change``: what is written otherwise. ``of``: the side that
    sends it, ``"a"`` the caller.
    """

    def make(side: Side) -> bytes:
        invites = [one for one in side.sent if one.startswith(b"INVITE")]
        told = side.told if of == "a" or not invites else invites[-1]
        head = told.decode().partition("\r\n\r\n")[0].split("\r\n")
        routes = [line.partition(" ")[2] for line in head if line.startswith("Record-Route")]
        contact = next((line for line in head if line.startswith("Contact")), "<sip:bob@192.0.2.2>")
        uri = contact.partition("<")[2].partition(">")[0]
        if of == "a":
            routes.reverse()
        sides = "<sip:alice@atlanta.test>;tag=a", "<sip:bob@biloxi.test>;tag=b"
        from_, to = sides if of == "a" else sides[::-1]
        head = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{of};rport",
            *([f"Route: {one}" for one in routes] if lines else [f"Route: {', '.join(routes)}"]),
            "Max-Forwards: 70",
            f"From: {from_}",
            f"To: {to}",
            "Call-ID: a",
            f"CSeq: {2 if method == 'BYE' else 1} {method}",
            "Content-Length: 0",
        ]
        return (change("\r\n".join(head)) + "\r\n\r\n").encode()

    return "made", make, source


def passed(steps: list[tuple[Any, ...]], **more: Any) -> int:
    """Return how many of ``steps`` passed as octets."""
    side = Side(**more)
    counted: Any = Counted(side.stack.reception.passages)
    side.stack.reception.passages = counted
    for step in steps:
        side.play(step)
    return int(counted.count)


DIALOGS: dict[str, list[tuple[Any, ...]]] = {
    "caller behind a NAT": [INVITE, RINGS, TAKES],
    "callee behind a NAT": [BEHIND, ("request", "INVITE", ""), HOME_RINGS, HOME_TAKES],
    "both behind a NAT": [BEHIND, INVITE, HOME_RINGS, HOME_TAKES],
}


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("dialog", DIALOGS)
def test_both_requests_of_a_call_pass(dialog: str, lines: bool) -> None:
    """Without this the comparisons below would prove nothing."""
    assert passed([*DIALOGS[dialog], within("ACK", lines=lines), within("BYE", lines=lines)]) == 2
    hangs_up = within("BYE", lines=lines, source=CALLEE, of="b")
    assert passed([*DIALOGS[dialog], within("ACK", lines=lines), hangs_up]) == 2


def _spoiled(at: int) -> Change:
    """Return what changes one octet of the first flow token."""

    def change(text: str) -> str:
        place = text.index("<sip:f-") + 10 + at
        return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]

    return change


CHANGES: dict[str, Change] = {
    "as it is": str,
    "a forged token": _spoiled(20),
    "no token": lambda text: text[: text.index("f-")] + text[text.index("@192.0.2.99") + 1 :],
    "asks for its flow": lambda text: text.replace(";lr;d=", ";lr;ob;d=", 1),
    "another dialog": lambda text: text.replace("Call-ID: a", "Call-ID: b"),
    "another caller": lambda text: text.replace(";tag=a", ";tag=c"),
    "a mark that is cut": lambda text: text.replace(";d=c", ";d=", 1),
    "the last mark is cut": lambda text: ";d=".join(text.rsplit(";d=c", 1)),
    "another target": lambda text: text.replace("ACK sip:bob@", "ACK sip:eve@").replace(
        "BYE sip:bob@", "BYE sip:eve@"
    ),
    "one value": lambda text: text.replace(">, <sip:", ">,<sip:", 1),
    "a third value": lambda text: text.replace("\r\nMax-F", "\r\nRoute: <sip:192.0.2.7;lr>\r\nMax-F", 1),
    "a Contact before": lambda text: text.replace("\r\nRoute", "\r\nContact: <sip:a@10.0.0.1>\r\nRoute", 1),
    "a fold": lambda text: text.replace("\r\nMax-F", "\r\n \r\nMax-F", 1),
    "values turned around": lambda text: _turned(text),
    "credentials": lambda text: text.replace(
        "\r\nMax-F", '\r\nProxy-Authorization: Digest realm="x"\r\nMax-F', 1
    ),
    "upper case": lambda text: text.replace("<sip:f-", "<SIP:f-", 1),
}


def _turned(text: str) -> str:
    lines = text.split("\r\n")
    routes = [one for one in lines if one.startswith("Route")]
    rest = [one for one in lines if not one.startswith("Route")]
    return "\r\n".join([*rest[:2], *reversed(routes), *rest[2:]])


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dialog", DIALOGS)
def test_whatever_is_written_in_it(dialog: str, change: str) -> None:
    """RFC 5626 5.3: a token that is not ours, or not of this dialog, leads nowhere."""
    for lines in (True, False):
        compare(
            [
                *DIALOGS[dialog],
                within("ACK", CHANGES[change], lines=lines),
                within("BYE", CHANGES[change], lines=lines),
                *(("last",), ENDED),
            ]
        )


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("dialog", DIALOGS)
def test_however_the_server_is_set(dialog: str, config: str) -> None:
    """Passwords, trusted peers, limits and marks change what is plain, and not what leaves."""
    compare(
        [*DIALOGS[dialog], within("ACK"), within("BYE"), within("BYE"), ("last",), ENDED], **CONFIGS[config]
    )


BETWEEN: dict[str, list[tuple[Any, ...]]] = {
    "nothing": [],
    "the phone is gone": [("binds", "<sip:bob@10.0.0.2:5060>;expires=0")],
    "the phone has another port": [("behind", "<sip:bob@10.0.0.2:5061>")],
    "another phone": [("binds", "<sip:bob@192.0.2.7:5060>")],
    "all registrations are over": [("wait", 4000.0)],
}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("dialog", DIALOGS)
@pytest.mark.parametrize("source", [CALLER, OTHER, ("192.0.2.1", 40001)])
@pytest.mark.parametrize("of", ["a", "b"])
def test_whatever_has_become_of_the_phones(dialog: str, between: str, source: Any, of: str) -> None:
    """RFC 5626 5.3.2: a token leads to the flow that the phone has now; its NAT may give it another port."""
    came = source if of == "a" or source != CALLER else CALLEE
    hangs_up = within("BYE", source=came, of=of)
    compare([*DIALOGS[dialog], within("ACK"), *BETWEEN[between], hangs_up, ("last",), ENDED])


ENDS: list[list[tuple[Any, ...]]] = [
    [ENDED],
    [BUSY],
    [("wait", 40.0)],
    [("failed",)],
    [("wait", 0.6), within("BYE"), ENDED, within("BYE")],
]


@pytest.mark.parametrize("end", range(len(ENDS)))
@pytest.mark.parametrize("dialog", DIALOGS)
def test_whatever_becomes_of_the_bye(dialog: str, end: int) -> None:
    """RFC 3261 16.7: the branch that it becomes goes over the same flow."""
    compare([*DIALOGS[dialog], within("ACK"), within("BYE"), ("last",), *ENDS[end]])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_octet_of_the_route(data: Any) -> None:
    """Nobody reaches a phone by an octet that the long way would have looked at."""
    dialog = data.draw(st.sampled_from(list(DIALOGS)))
    lines = data.draw(st.booleans())
    place, octet = data.draw(st.integers(0, 260)), data.draw(st.sampled_from('aZ09-_.:;@<>, =\t"\r\n'))

    def change(text: str) -> str:
        at = text.index("Route: ") + place
        return text[:at] + octet + text[at + 1 :]

    compare([*DIALOGS[dialog], within("ACK", change, lines=lines), within("BYE", change, lines=lines)])


def test_only_lines_of_route_are_joined() -> None:
    """What goes on is cut out of the joined octets: no other line may be part of it."""
    assert joined_routes(b"A\r\nRoute: <a>\r\nRoute: <b>\r\nX: y") == b"A\r\nRoute: <a>, <b>\r\nX: y"
    for data in (
        b"",
        b"A\r\nRoute: <a>",
        b"A\r\nC: <c>\r\nRoute: <a>\r\n\r\n",
        b"A\r\nRoute: <a>\r\n Route: <b>",
    ):
        assert joined_routes(data) is None
