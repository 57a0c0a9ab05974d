"""A redirect server: it tells callers where a user is, and carries no calls.

Phones register here as usual. A caller gets 302 with the user's contacts and
calls them itself (RFC 3261 8.3), so a busy server stays out of every dialog.

    sansip serve --route examples/routes/redirect.py
"""

from __future__ import annotations

from sansip.routing import IncomingRequest
from sansip.routing.default import admits


async def route(request: IncomingRequest) -> None:
    """Register phones, redirect everything else."""
    if not request.validate():
        return
    if request.method == "ACK":
        # The server absorbs the ACK for our 302 before it comes here; any other ACK is astray.
        request.drop()
    elif request.method == "CANCEL" or request.in_dialog:
        # A caller that was redirected talks to the other side without us.
        request.reply(481)
    elif not request.serves():
        request.reply(403, "Relaying Denied")
    elif not await admits(request):
        pass  # asked for a password, or refused
    elif request.method == "REGISTER":
        await request.register()
    elif getattr(request.uri, "user", None) is None:
        request.answer_as_server()
    elif targets := await request.locate():
        request.redirect(targets)
    else:
        request.reply(404)
