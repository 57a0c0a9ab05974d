"""What a sender is told of a message that was kept: notices (RFC 5438), and the text of the operator.

Theory of operation: a notice is a message of its own for the sender's phones, kept and delivered like
others. It is made for a sender who has proved who they are, and never for one that only the CPIM header
names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from sansip.errors import RemoteProtocolError
from sansip.module.cpim import as_sip
from sansip.modules.messages.imdn import asked, notice
from sansip.modules.messages.notices import MessageRefused
from sansip.modules.messages.row import Kept
from sansip.registrar.date import sip_date
from sansip.wire import parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.messages.keeping import Keeping

__all__ = ["Telling"]

# What a notice says (RFC 5438 8.1, 8.2): its element, and by which word the sender asks for it.
_NOTICES: Final[dict[str, tuple[Literal["processing", "delivery"], str]]] = {
    "stored": ("processing", "processing"),
    "failed": ("delivery", "negative-delivery"),
}


class Telling:
    """Tells senders. ``deliver(user, now)`` gives the phones of a user what waits for them."""

    __slots__ = ("_core", "_deliver", "_keeping")

    def __init__(self, core: Core, keeping: Keeping, deliver: Callable[[str, float], None]) -> None:
        self._core = core
        self._keeping = keeping
        self._deliver = deliver

    async def tell(self, row: Kept, status: Literal["stored", "failed"]) -> None:
        """Have the sender's phones get a notice of what became of ``row``, as a message of its own."""
        if status == "stored" and self._keeping.settings.notice:
            text = self._keeping.settings.notice.encode()
            await self._put_notice(row, "text/plain;charset=UTF-8", text)
        wanted = asked(row.body) if row.content_type.startswith("message/cpim") else None
        name, disposition = _NOTICES[status]
        # RFC 5438 8.1, 8.2: only what the sender asks for, each kind once.
        if wanted is None or disposition not in wanted.kinds:
            return
        try:
            if self._core.address_of(parse_uri(as_sip(wanted.sender))) != row.reports:
                # Another one than who sent it would get the notice.
                return
        except RemoteProtocolError:
            return
        own_id = self._core.entropy.token()
        body = notice(wanted, name, status, own_id, self._core.unix(self._core.ua.now))
        await self._put_notice(row, "message/cpim", body)

    async def _put_notice(self, of: Kept, kind: str, body: bytes) -> None:
        """Keep a message for the sender of ``of``; the next phone of the sender's gets it, one at a time."""
        user, now = of.reports, self._core.ua.now
        unix = self._core.unix(now)
        fields = json.dumps([["Content-Type", kind]])
        # ``size`` is for what users write; a notice has its own words, and an identifier no longer than that.
        limit = self._keeping.held.limit_of(self._keeping.settings, user, of.user, 0)
        if limit:
            self._core.notify(MessageRefused(of.user, user, limit), now)
            return
        row = Kept(
            user, self._keeping.new_id(unix), of.to, of.sender, sip_date(unix), unix,
            unix + self._keeping.settings.expires, fields, body,
        )  # fmt: skip
        await self._keeping.write(row, of.user, _yes())
        self._deliver(user, now)


async def _yes() -> bool:
    return True
