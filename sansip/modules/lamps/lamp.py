"""One dialog of a call as RFC 4235 tells it, and its document.

Theory of operation: a lamp is one dialog of one user: that of the caller, or one for each phone that rings,
so a phone that stops ringing does not end the call of the one that answered. Its state only ever rises:
trying, proceeding, early, confirmed, terminated. So no message that comes late can show a call that is
over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from sansip.module.xml import attribute, text

__all__ = [
    "CONFIRMED",
    "EARLY",
    "PROCEEDING",
    "STATES",
    "TERMINATED",
    "TRYING",
    "TYPE",
    "Lamp",
    "Party",
    "write",
]

TYPE: Final = "application/dialog-info+xml"
TRYING: Final = "trying"
PROCEEDING: Final = "proceeding"
EARLY: Final = "early"
CONFIRMED: Final = "confirmed"
TERMINATED: Final = "terminated"
# RFC 4235 3.7.1, figure 3: in the order in which a dialog goes through them.
STATES: Final = (TRYING, PROCEEDING, EARLY, CONFIRMED, TERMINATED)


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a dialog: its address, display name and Contact URI."""

    uri: str
    display: str = ""
    target: str = ""

    def write(self, name: str) -> str:
        """Return its element (RFC 4235 4.1.6)."""
        shown = f" display={attribute(self.display)}" if self.display else ""
        target = f"<target uri={attribute(self.target)}/>" if self.target else ""
        return f"<{name}><identity{shown}>{text(self.uri)}</identity>{target}</{name}>"


@dataclass(frozen=True, slots=True)
class Lamp:
    """One dialog of the user ``entity``. ``event`` and ``code`` say why it is terminated (RFC 4235 4.1.2)."""

    id: str
    entity: str
    call_id: str
    direction: str
    local: Party
    remote: Party
    since: float
    state: str = TRYING
    local_tag: str = ""
    remote_tag: str = ""
    event: str = ""
    code: int = 0

    def moved(
        self, state: str, *, event: str = "", code: int = 0, tag: str = "", target: str = ""
    ) -> Self | None:
        """Return the lamp in ``state``; None where it is there, or further, already.

        ``tag``, ``target``: of the callee, where they are known now.
        """
        if STATES.index(state) <= STATES.index(self.state):
            return None
        changes: dict[str, object] = {"state": state, "event": event, "code": code}
        if tag:
            changes["local_tag" if self.direction == "recipient" else "remote_tag"] = tag
        if target:
            side = "local" if self.direction == "recipient" else "remote"
            changes[side] = replace(getattr(self, side), target=target)
        return replace(self, **changes)  # type: ignore[arg-type]  # names of fields, by direction

    def write(self, now: float) -> str:
        """Return its element (RFC 4235 4.1)."""
        tags = "".join(
            f" {name}={attribute(value)}"
            for name, value in (("local-tag", self.local_tag), ("remote-tag", self.remote_tag))
            if value
        )
        why = f' event="{self.event}"' if self.event else ""
        why += f' code="{self.code}"' if self.code else ""
        lasted = f"<duration>{max(0, int(now - self.since))}</duration>" if self.state == CONFIRMED else ""
        return (
            f"<dialog id={attribute(self.id)} call-id={attribute(self.call_id)}{tags}"
            f' direction="{self.direction}">'
            f"<state{why}>{self.state}</state>{lasted}"
            f"{self.local.write('local')}{self.remote.write('remote')}</dialog>"
        )


def write(entity: str, lamps: Iterable[Lamp], version: int, *, full: bool, now: float) -> bytes:
    """Return a document (RFC 4235 4)."""
    state = "full" if full else "partial"
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info"'
        f' version="{version}" state="{state}" entity={attribute(entity)}>'
    )
    return (head + "".join(one.write(now) for one in lamps) + "</dialog-info>\n").encode()
