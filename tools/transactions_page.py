"""Writes docs/transactions.md from the tables that the core runs on.

Theory of operation: the tables name inputs and effects; this file has the words of RFC 3261's figures for
them. A diagram shows the arcs that change the state, as figures 5 to 8 do, and the table under it every pair.
A test compares the page with what this prints, so neither can change alone.

Run ``python -m tools.transactions_page`` to write the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from sansip.transaction.invite_client import INVITE_CLIENT
from sansip.transaction.invite_server import INVITE_SERVER
from sansip.transaction.non_invite_client import NON_INVITE_CLIENT
from sansip.transaction.non_invite_server import NON_INVITE_SERVER
from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED, Machine
from sansip.transaction.timers import TimerValues

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parent.parent / "docs" / "transactions.md"

_EVENTS = {
    "1xx": "1xx",
    "2xx": "2xx",
    "failure": "300-699",
    "ACK": "ACK",
    "send 1xx": "1xx from TU",
    "send 2xx": "2xx from TU",
    "send failure": "300-699 from TU",
    "transport error": "Transport Err.",
}
# The figures write two neighbours as one range.
_RANGES = {
    ("2xx", "300-699"): "200-699",
    ("2xx from TU", "300-699 from TU"): "200-699 from TU",
}


@dataclass(frozen=True)
class Figure:
    """One machine, and the words of its figure."""

    title: str
    source: str
    about: str
    machine: Machine
    request: str
    begin: str
    actions: dict[str, str]


FIGURES = (
    Figure(
        "Figure 5: INVITE client transaction",
        "sansip/transaction/invite_client.py",
        """RFC 3261 17.1.1 as corrected by RFC 6026 8.4: *Accepted* and Timer M are new. One action differs on
        purpose: of a transport error in *Completed* the TU hears nothing, for it has the final response.""",
        INVITE_CLIENT,
        "",
        "INVITE from TU / INVITE sent",
        {
            "proceed": "1xx to TU",
            "pass_up": "response to TU",
            "accept": "2xx to TU",
            "complete": "ACK sent, resp. to TU",
            "acknowledge_again": "ACK sent",
            "resend": "INVITE sent, reset A",
            "time_out": "inform TU",
            "fail": "inform TU",
            "terminate": "-",
        },
    ),
    Figure(
        "Figure 6: non-INVITE client transaction",
        "sansip/transaction/non_invite_client.py",
        "RFC 3261 17.1.2.",
        NON_INVITE_CLIENT,
        "",
        "Request from TU / send request",
        {
            "proceed": "resp. to TU",
            "pass_up": "resp. to TU",
            "complete": "resp. to TU",
            "resend": "send request, reset E",
            "resend_slowly": "send request, E = T2",
            "time_out": "inform TU",
            "fail": "inform TU",
            "terminate": "-",
        },
    ),
    Figure(
        "Figure 7: INVITE server transaction",
        "sansip/transaction/invite_server.py",
        """RFC 3261 17.2.1 as corrected by RFC 6026 8.6: *Accepted* and Timer L are new, and a transport
        error no longer ends the transaction, or a repeated INVITE would be taken for a new one.""",
        INVITE_SERVER,
        "INVITE",
        "INVITE / pass INV to TU, send 100 if TU won't in 200 ms",
        {
            "send": "send response",
            "accept": "send response",
            "pass_on": "send response",
            "complete": "send response",
            "resend": "send response",
            "resend_final": "send response, reset G",
            "confirm": "-",
            "pass_ack": "ACK to TU",
            "time_out": "inform TU",
            "inform": "inform TU",
            "terminate": "-",
        },
    ),
    Figure(
        "Figure 8: non-INVITE server transaction",
        "sansip/transaction/non_invite_server.py",
        """RFC 3261 17.2.2. A proxy sends a 100 after the time that Timer E takes to reach T2, and never a
        408 (RFC 4320 4).""",
        NON_INVITE_SERVER,
        "Request",
        "Request received / pass to TU",
        {
            "send": "send response",
            "complete": "send response",
            "resend": "send response",
            "fail": "inform TU",
            "terminate": "-",
        },
    ),
)


_INTRODUCTION = (
    """A transaction is a request and its responses on one hop. Four machines see to what UDP loses and
    repeats. In `sansip/transaction/` each is a table with a row for every pair of state and input, and the
    import fails when one is missing. The diagrams are figures 5 to 8 of the RFC, with its states and its
    words, made from those tables; they show the arcs that change the state. *TU* is the transaction user:
    here the proxy core.""",
    """Timers A, E and G resend, and run on UDP alone. On TCP, TLS, WebSocket and SCTP the timers D, I, J and
    K, which wait for repetitions, are zero: the machine ends at once.""",
)
_LEGEND = """A cell says what is done and, after the arrow, the next state where it is another. *ignored*: the
    RFC has it absorbed or discarded. An empty cell: the input cannot come in that state, and would be
    ignored."""


def _wrapped(text: str) -> str:
    return fill(" ".join(text.split()), 116, break_long_words=False, break_on_hyphens=False)


def page() -> str:
    """Return the whole page."""
    values = TimerValues()
    parts = [
        "# Transactions",
        "<!-- Written by `python -m tools.transactions_page` from the tables in sansip/transaction/. -->",
        *map(_wrapped, _INTRODUCTION),
        "## Timers",
        "\n".join(_timers(values)),
    ]
    for figure in FIGURES:
        parts += [
            f"## {figure.title}",
            _wrapped(f"{figure.about} Table: [`{figure.source}`](../{figure.source})."),
            "\n".join(["```mermaid", "stateDiagram-v2", *_arcs(figure), "```"]),
            "\n".join(_table(figure)),
        ]
    parts.append(_wrapped(_LEGEND))
    return "\n\n".join(parts) + "\n"


def _timers(values: TimerValues) -> Iterator[str]:
    yield "| Timer | Default | Meaning | RFC 3261 |"
    yield "|---|---|---|---|"
    long = f"64*T1 = {values.t1x64:g} s"
    for name, default, meaning, section in (
        ("T1", f"{values.t1:g} s", "estimate of the round-trip time", "17.1.1.1"),
        (
            "T2",
            f"{values.t2:g} s",
            "longest interval between retransmissions, INVITE excepted",
            "17.1.2.2",
        ),
        ("T4", f"{values.t4:g} s", "how long a message may stay in the network", "17.1.2.2"),
        ("A", "T1, doubling", "INVITE is sent again", "17.1.1.2"),
        ("B", long, "INVITE has had no answer at all", "17.1.1.2"),
        ("C", f"{values.c:g} s", "a proxied INVITE rings without an end", "16.6 step 11"),
        ("D", f"{values.d:g} s", "repeated failures are acknowledged again", "17.1.1.2"),
        ("E", "T1, doubling up to T2", "another request is sent again", "17.1.2.2"),
        ("F", long, "another request has had no final answer", "17.1.2.2"),
        ("G", "T1, doubling up to T2", "a failure of INVITE is sent again", "17.2.1"),
        ("H", long, "a failure of INVITE has had no ACK", "17.2.1"),
        ("I", f"T4 = {values.t4:g} s", "repeated ACKs are absorbed", "17.2.1"),
        ("J", long, "repeated requests get the answer again", "17.2.2"),
        ("K", f"T4 = {values.t4:g} s", "repeated answers are absorbed", "17.1.2.2"),
        ("L", long, "repeated INVITEs are absorbed after a 2xx", "RFC 6026 8.11"),
        ("M", long, "further 2xx are taken", "RFC 6026 8.11"),
    ):
        yield f"| {name} | {default} | {meaning} | {section} |"


def _event(figure: Figure, given: str) -> str:
    if given == "request":
        return figure.request
    if given.startswith("timer"):
        return f"{given.replace('timer', 'Timer')} fires"
    return _EVENTS[given]


def _arcs(figure: Figure) -> Iterator[str]:
    machine = figure.machine
    yield f"    [*] --> {next(iter(machine)).capitalize()} : {figure.begin}"
    for state, rows in machine.items():
        # next state and action -> events
        arcs: dict[tuple[str, str], list[str]] = {}
        for given, (effect, after) in rows.items():
            if after != state:
                arcs.setdefault((after, figure.actions[effect]), []).append(_event(figure, given))
        for (after, action), events in arcs.items():
            label = _RANGES.get(tuple(events[:2]))  # type: ignore[arg-type]  # its kind is known here
            events = events if label is None else [label, *events[2:]]
            yield f"    {state.capitalize()} --> {after.capitalize()} : {' or '.join(events)} / {action}"
    yield f"    {TERMINATED.capitalize()} --> [*]"


def _table(figure: Figure) -> Iterator[str]:
    machine = figure.machine
    yield "| | " + " | ".join(state.capitalize() for state in machine) + " |"
    yield "|---" * (len(machine) + 1) + "|"
    for given in next(iter(machine.values())):
        cells = [_cell(figure, state, *rows[given]) for state, rows in machine.items()]
        yield f"| {_event(figure, given)} | " + " | ".join(cells) + " |"


def _cell(figure: Figure, state: str, effect: str, after: str) -> str:
    if effect == IMPOSSIBLE:
        return ""
    if effect == IGNORE:
        return "ignored"
    arrow = "" if after == state else f"→ {after.capitalize()}"
    return " ".join(filter(None, (figure.actions[effect].strip("-"), arrow)))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
