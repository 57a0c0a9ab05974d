"""Users who are not called at night: a whole module in one file.

Theory of operation: who wants quiet, and from when to when, stands in rows; all are held in memory, for
each call asks. A step of the default route turns callers away; commands change the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sansip.module import CommandError, Core, Doc, Module, command, function, step
from sansip.routing import IncomingRequest
from sansip.rows import Table
from sansip.wire import SipUri

__all__ = ["Quiet", "QuietHours", "QuietSettings", "Refused"]


@dataclass
class QuietSettings:
    """The table [quiet_hours]."""

    status: Annotated[int, Doc("What callers get at night.")] = 480
    utc_offset: Annotated[int, Doc("Hours that local time is ahead of UTC.")] = 0
    refresh: Annotated[
        float, Doc("Seconds between two looks at the rows, which another node may change.")
    ] = 60.0


@dataclass
class Quiet:
    """One user's quiet hours: from ``begin`` to before ``end``, hours of the day."""

    user: str
    begin: int
    end: int


@dataclass(slots=True)
class Refused:
    """An event: a caller was turned away."""

    user: str


HOURS = Table("quiet_hours", Quiet, key=("user",))


class QuietHours(Module):
    """Turns calls away at night, for users who want that."""

    name = "quiet_hours"
    Settings = QuietSettings
    tables = (HOURS,)

    settings: QuietSettings

    def start(self, core: Core, now: float) -> None:
        self._users: dict[str, Quiet] = {}
        self._rows = core.rows(HOURS)
        self._refused = core.counter("refused", "Calls turned away", ("user",))
        self.timer_fired("refresh", now)

    def timer_fired(self, name: object, now: float) -> None:
        self.core.run(self._read(), now)
        self.core.timers.start(now, self.settings.refresh, self, "refresh")

    async def _read(self) -> None:
        self._users = {row.user: row for row in await self._rows.all()}

    @function
    def is_quiet(self, request: IncomingRequest, user: str) -> bool:
        """Whether ``user`` does not want to be called now."""
        hours = self._users.get(user)
        if hours is None:
            return False
        hour = int(self.core.unix(request.now) // 3600 + self.settings.utc_offset) % 24
        if hours.begin <= hours.end:
            return hours.begin <= hour < hours.end
        return hour >= hours.begin or hour < hours.end

    @step("translate")
    async def turn_away(self, request: IncomingRequest) -> None:
        user = request.uri.user if isinstance(request.uri, SipUri) else None
        if request.method == "INVITE" and user is not None and self.is_quiet(request, user):
            self._refused.add(user)
            self.core.notify(Refused(user), request.now)
            request.reply(self.settings.status, "Quiet Hours")

    @command("quiet_hours.list")
    def list_hours(self) -> list[Quiet]:
        """Return who wants quiet, and when."""
        return sorted(self._users.values(), key=lambda row: row.user)

    @command("quiet_hours.set")
    async def set_hours(self, user: str, begin: int, end: int) -> Quiet:
        """Give ``user`` quiet from ``begin`` to before ``end``."""
        if not (0 <= begin <= 23 and 0 <= end <= 23):
            raise CommandError("quiet_hours.set: begin and end are hours, 0 to 23")
        row = Quiet(user, begin, end)
        await self._rows.put(row)
        self._users[user] = row
        return row

    @command("quiet_hours.remove")
    async def remove_hours(self, user: str) -> bool:
        """Let ``user`` be called at any time; return whether that is new."""
        await self._rows.delete((user,))
        return self._users.pop(user, None) is not None
