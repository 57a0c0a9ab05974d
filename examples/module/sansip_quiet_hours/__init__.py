"""Users who are not called at night: a whole module that uses every kind of entrance.

Theory of operation: rows hold the users who want quiet, and their hours. The module keeps all of them in
memory, because each call needs them. A step of the default route turns callers away. Commands change the
rows, and so does a page that each user may request. Boards on the wall get events by a protocol of the module
(``feed``). Days on which it is quiet all day come from a file or a web server (``holidays``, the outer half).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, ClassVar

from sansip.module import (
    CommandError,
    Core,
    Doc,
    Link,
    Module,
    WebRequest,
    WebResponse,
    command,
    function,
    mount,
    step,
)
from sansip.routing import IncomingRequest
from sansip.rows import Table
from sansip.wire import SipUri
from sansip_quiet_hours.feed import Feed
from sansip_quiet_hours.holidays import Holidays

__all__ = ["Quiet", "QuietHours", "QuietSettings", "Refused"]


@dataclass
class QuietSettings:
    """The table [quiet_hours]."""

    status: Annotated[int, Doc("What callers get at night.")] = 480
    utc_offset: Annotated[int, Doc("Hours that local time is ahead of UTC.")] = 0
    refresh: Annotated[
        float, Doc("Seconds between two looks at the rows, which another node may change.")
    ] = 60.0
    page: Annotated[str, Doc("The path of HTTP where each user sets the own hours.")] = "/quiet-hours"
    listen: Annotated[list[str], Doc("Where boards connect, like quiet:127.0.0.1:7000.")] = field(
        default_factory=list
    )
    holidays: Annotated[str, Doc('URL of a list of days that are quiet all day; "" is none.')] = ""


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
    protocols: ClassVar[Mapping[str, type[Link]]] = {"quiet": Feed}

    settings: QuietSettings

    def start(self, core: Core, now: float) -> None:
        self._users: dict[str, Quiet] = {}
        self._holidays: set[str] = set()
        self._rows = core.rows(HOURS)
        self._refused = core.counter("refused", "Calls turned away", ("user",))
        self.timer_fired("refresh", now)

    def timer_fired(self, name: object, now: float) -> None:
        self.core.run(self._read(), now)
        self.core.timers.start(now, self.settings.refresh, self, "refresh")

    async def _read(self) -> None:
        self._users = {row.user: row for row in await self._rows.all()}
        if self.settings.holidays:
            # If it fails, the days that were read before count, and the log says so.
            self._holidays = set(await self.core.ask(Holidays(), within=8))

    @function
    def is_quiet(self, request: IncomingRequest, user: str) -> bool:
        """Whether ``user`` does not want to be called now."""
        hours = self._users.get(user)
        if hours is None:
            return False
        local = self.core.unix(request.now) + 3600 * self.settings.utc_offset
        if time.strftime("%Y-%m-%d", time.gmtime(local)) in self._holidays:
            return True
        hour = int(local // 3600) % 24
        if hours.begin <= hours.end:
            return hours.begin <= hour < hours.end
        return hour >= hours.begin or hour < hours.end

    @step("translate")
    async def turn_away(self, request: IncomingRequest) -> None:
        user = request.uri.user if isinstance(request.uri, SipUri) else None
        if request.method == "INVITE" and user is not None and self.is_quiet(request, user):
            self._refused.add(user)
            self.core.notify(Refused(user), request.now)
            for link in self.core.links:
                assert isinstance(link, Feed)
                link.tell(user, str(request.message.from_.uri))
            request.reply(self.settings.status, "Quiet Hours")

    @mount("/quiet-hours", access="user", key="page")
    async def serve(self, request: WebRequest) -> WebResponse:
        """The hours of the user who asks: GET shows, PUT ``{"begin": 22, "end": 7}`` sets, DELETE removes."""
        assert request.user is not None
        user = request.user.partition(":")[2].partition("@")[0]
        if request.method == "PUT":
            try:
                given = json.loads(request.body)
                await self.set_hours(user, int(given["begin"]), int(given["end"]))
            except (ValueError, KeyError, TypeError, CommandError):
                return WebResponse(400, b'expected {"begin": 22, "end": 7}\n')
        elif request.method == "DELETE":
            await self.remove_hours(user)
        elif request.method != "GET":
            return WebResponse(405, headers=[("Allow", "GET, PUT, DELETE")])
        hours = self._users.get(user)
        if hours is None:
            return WebResponse(404, b"no quiet hours\n") if request.method == "GET" else WebResponse(204)
        return WebResponse(200, json.dumps(asdict(hours)).encode(), "application/json")

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
