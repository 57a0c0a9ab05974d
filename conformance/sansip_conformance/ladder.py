"""Ladder diagrams: the messages between the parties, as text, SVG or Mermaid.

Theory of operation: an event is a line between two of the columns. The source of the events (a
trace just played, a capture) does not matter here. The text fits a terminal of 80 columns with up
to six participants; labels are shortened, columns are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from sansip.errors import RemoteProtocolError
from sansip.wire import Message, Request, Response, parse_message
from sansip_conformance.trace import Trace

__all__ = ["Event", "Ladder", "label_of", "ladder_of"]


_STYLE = """
svg{font:13px system-ui,sans-serif}
.bg{fill:#fff} .rail{stroke:#c4c9d1} .name{fill:#f1f4f9;stroke:#9aa4b5} text{fill:#1d2733}
.time{fill:#78828f;font-size:11px} .label{paint-order:stroke;stroke:#fff;stroke-width:4px}
.request{stroke:#2458b8;fill:#2458b8}
.provisional{stroke:#8a6d1f;fill:#8a6d1f} .success{stroke:#1d7f46;fill:#1d7f46}
.failure{stroke:#b3261e;fill:#b3261e} .note{stroke:#78828f;fill:#78828f}
@media(prefers-color-scheme:dark){.bg{fill:#14181f} text{fill:#e6eaf0} .rail{stroke:#3a4350}
.label{stroke:#14181f}
.name{fill:#1f2631;stroke:#56617a} .request{stroke:#7fa6f5;fill:#7fa6f5} .success{stroke:#63c48d;fill:#63c48d}
.failure{stroke:#f28b82;fill:#f28b82} .provisional{stroke:#d9b75a;fill:#d9b75a}}
"""


@dataclass(slots=True)
class Event:
    """One message: seconds, from, to, the label of the arrow, and its kind.

    ``kind`` is "request", "provisional", "success", "failure" or "note".
    """

    time: float
    source: str
    target: str
    label: str
    kind: str = "request"


@dataclass(slots=True)
class Ladder:
    """Events between participants, who stand in columns from left to right."""

    title: str
    participants: list[str]
    events: list[Event]

    # --- text

    def text(self, width: int = 80) -> list[str]:
        """Return the lines of a diagram of at most ``width`` characters."""
        return [line for line, _ in self.styled(width)]

    def styled(self, width: int = 80) -> list[tuple[str, str]]:
        """Return (line, kind) pairs; ``kind`` is that of the event, or "head" or "rail"."""
        names = self.participants
        count = len(names)
        margin = 9
        step = max(8, min(26, (width - margin - 8) // max(1, count - 1)))
        at = {name: margin + 4 + number * step for number, name in enumerate(names)}
        end = max(at.values()) + 5

        def rail() -> list[str]:
            line = [" "] * end
            for column in at.values():
                line[column] = "│"
            return line

        head = [" "] * (end + 8)
        for number, name in enumerate(names):
            room = step - 1 if 0 < number < count - 1 or count > 2 else step
            shown = name[:room]
            first = max(0, at[name] - len(shown) // 2)
            head[first : first + len(shown)] = shown
        lines = [("".join(head).rstrip()[:width], "head"), ("".join(rail()).rstrip(), "rail")]
        last = None
        for event in self.events:
            line = rail()
            stamp = f"{event.time:8.3f}"
            if last is None or stamp != last:
                line[0 : len(stamp)] = stamp
                last = stamp
            left, right = at[event.source], at[event.target]
            if left == right:
                text = f" {event.label}"[: width - left - 2]
                line[left + 1 :] = text
            else:
                low, high = min(left, right), max(left, right)
                for column in range(low + 1, high):
                    line[column] = "─"
                line[high - 1 if right > left else low + 1] = ">" if right > left else "<"
                # Two spaces, the head, and enough of the line to be seen as one.
                room = high - low - 6
                text = _shorten(event.label, room)
                # The arrow's head keeps its place.
                first = low + 1 + (high - low - 1 - len(text) - 2 + (right < left)) // 2
                line[first : first + len(text) + 2] = f" {text} "
            lines.append(("".join(line).rstrip(), event.kind))
        lines.append(("".join(rail()).rstrip(), "rail"))
        return lines

    # --- Mermaid

    def mermaid(self) -> str:
        """Return the text of a Mermaid sequence diagram."""
        identifiers = {name: f"p{number}" for number, name in enumerate(self.participants)}
        lines = ["sequenceDiagram"]
        if self.title:
            lines[:0] = ["---", f"title: {self.title.replace(':', ' -')}", "---"]
        lines += [f"    participant {identifiers[name]} as {name}" for name in self.participants]
        for event in self.events:
            source, target = identifiers[event.source], identifiers[event.target]
            arrow = "->>" if event.kind == "request" else "-->>"
            label = (
                event.label.replace(";", "#59;").replace("#", "#35;") if "#" in event.label else event.label
            )
            if source == target:
                lines.append(f"    Note over {source}: {label}")
            else:
                lines.append(f"    {source}{arrow}{target}: {label}")
        return "\n".join(lines) + "\n"

    # --- SVG

    def svg(self) -> str:
        """Return a standalone SVG document."""
        step, row, top, left = 190, 30, 90, 120
        width = left + step * (len(self.participants) - 1) + 110
        height = top + row * len(self.events) + 40
        at = {name: left + number * step for number, name in enumerate(self.participants)}
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<style>{_STYLE}</style>",
            f'<rect class="bg" width="{width}" height="{height}"/>',
            f'<text x="{left - 90}" y="26" font-size="15" font-weight="600">{escape(self.title)}</text>',
        ]
        for name, x in at.items():
            parts.append(f'<line class="rail" x1="{x}" y1="{top - 20}" x2="{x}" y2="{height - 20}"/>')
            half = max(40, 4 * len(name) + 10)
            parts.append(
                f'<rect class="name" x="{x - half}" y="{top - 46}" width="{2 * half}" height="26" rx="5"/>'
            )
            parts.append(f'<text x="{x}" y="{top - 28}" text-anchor="middle">{escape(name)}</text>')
        last = ""
        for number, event in enumerate(self.events):
            y = top + row * number + 16
            x1, x2 = at[event.source], at[event.target]
            stamp = f"{event.time:.3f}"
            if stamp != last:
                parts.append(f'<text class="time" x="8" y="{y + 4}">{stamp} s</text>')
                last = stamp
            kind = event.kind
            if x1 != x2:
                way = 1 if x2 > x1 else -1
                dashes = "" if kind == "request" else ' stroke-dasharray="5 3"'
                parts.append(
                    f'<line class="{kind}" x1="{x1}" y1="{y}" x2="{x2 - 7 * way}" y2="{y}" '
                    f'stroke-width="1.4"{dashes}/>'
                )
                parts.append(f'<path class="{kind}" d="M{x2} {y}l{-9 * way} -4.5v9z"/>')
                middle = f'x="{(x1 + x2) / 2:g}" text-anchor="middle"'
            else:
                middle = f'x="{x1 + 8}"'
            most = max(10, int(abs(x2 - x1) / 7) if x1 != x2 else 40)
            # With a background of its own: a long arrow crosses the rails of others.
            label = escape(_shorten(event.label, most))
            parts.append(f'<text class="label" {middle} y="{y - 7}">{label}</text>')
        return "\n".join([*parts, "</svg>", ""])


def _shorten(label: str, room: int) -> str:
    """Return ``label`` in at most ``room`` characters: the bracket goes, then the reason, then the end."""
    if len(label) <= room:
        return label
    bare = re.sub(r" \(.*\)$", "", label)
    if len(bare) <= room:
        return bare
    if re.match(r"\d{3} ", bare) and room >= 3:
        return bare[:3]
    return bare[: max(1, room - 1)] + "…" if room > 1 else bare[:1]


def label_of(message: Message | None, data: bytes = b"") -> tuple[str, str]:
    """Return the label for the arrow of a message, and its kind."""
    if isinstance(message, Request):
        return (
            message.method if message.to_tag is None or message.method != "INVITE" else "re-INVITE"
        ), "request"
    if isinstance(message, Response):
        kind = "provisional" if message.status < 200 else "success" if message.status < 300 else "failure"
        return f"{message.status} {message.reason} ({message.cseq.method})", kind
    if not data:
        return "closed", "note"
    if not data.strip():
        return "keepalive", "note"
    return f"{data.split(None, 1)[0][:20].decode('ascii', 'replace')}… ({len(data)} octets)", "note"


def read(data: bytes) -> Message | None:
    """Return the message in ``data``, as far as the parser understands it."""
    try:
        return parse_message(data)
    except RemoteProtocolError:
        return None


def ladder_of(trace: Trace) -> Ladder:
    """Play ``trace`` on the core and return the events, up to its end or its failure."""
    from sansip_conformance.player import Player, TraceFailedError
    from sansip_conformance.world import CoreWorld

    world = CoreWorld(trace)
    player = Player(trace, world)
    failed = ""
    try:
        player.play()
    except TraceFailedError as failure:
        failed = f" (fails in line {failure.line})"
    server = trace.setup.server
    story = player.story
    story.harvest()
    events = []
    for time, name, is_sent, data in story.timeline[story.begun :]:
        label, kind = label_of(read(data), data)
        source, target = (name, server) if is_sent else (server, name)
        events.append(Event(time - story.start, source, target, label, kind))
    names = [name for name in trace.setup.endpoints if any(name in (e.source, e.target) for e in events)]
    middle = (len(names) + 1) // 2
    return Ladder(trace.title + failed, [*names[:middle], server, *names[middle:]], events)
