"""Reminders: messages of an operator or a route that are due at a time."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.module import CommandError
from sansip.modules.messages.row import Kept
from sansip.registrar.date import sip_date
from sansip.wire import parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.messages.keeping import Keeping

__all__ = ["remind", "time_of"]

# Seconds until a reminder, at most.
_FUTURE: Final = 366 * 86_400


def time_of(at: str) -> float:
    """Return the seconds since 1970 of ``2026-12-24T18:00+01:00``. Raises ``CommandError``."""
    try:
        when = datetime.fromisoformat(at)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise CommandError(f"messages.remind: at must be like 2026-12-24T18:00+01:00, got {at!r:.40}")
    return when.timestamp()


async def remind(core: Core, keeping: Keeping, user: str, text: str, at: float, sender: str) -> Kept:
    """Keep ``text`` for ``user`` until it is due; return its row. Raises ``CommandError``."""
    unix = core.unix(core.ua.now)
    if not unix < at <= unix + _FUTURE:
        raise CommandError(f"messages.remind: at must be in the next {_FUTURE // 86_400} days")
    try:
        uri = parse_uri(user)
        whose, from_ = core.address_of(uri), core.address_of(parse_uri(sender)) if sender else ""
    except RemoteProtocolError as error:
        raise CommandError(f"messages.remind: {error}") from error
    body, fields = text.encode(), json.dumps([["Content-Type", "text/plain;charset=UTF-8"]])
    limit = keeping.held.limit_of(keeping.settings, whose, from_ or whose, len(body) + len(fields))
    if limit:
        raise CommandError(f"messages.remind: messages.{limit} is reached for {user:.80}")
    # Its id stands where the message is due, so that it comes behind what is kept before.
    row = Kept(
        whose, f"{int(at * 1_000_000):018d}-{core.entropy.token()}", f"<{from_ or whose}>", f"<{whose}>",
        sip_date(at), unix, at + keeping.settings.expires, fields, body, at,
    )  # fmt: skip
    if await keeping.write(row, from_ or whose, keeping.is_user(whose, uri)) is None:
        raise CommandError(f"messages.remind: this server has no user {user!r:.80}")
    return row
