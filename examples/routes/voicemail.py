"""Ring the user's phones in the order of their q, then hand the call to voicemail.

The phones of one user are tried as they registered: equal q together, lower q
after higher ones failed. If no phone answers the call, or none is registered, the call goes to
the voicemail server with the number that was called (serial forking).

    sansip serve --route examples/routes/voicemail.py
"""

from __future__ import annotations

from sansip.routing import IncomingRequest
from sansip.routing.default import admits
from sansip.routing.default import route as default_route

# The address of the voicemail server; it finds the mailbox by the user part.
VOICEMAIL_HOST = "127.0.0.1"
VOICEMAIL_PORT = 5090

# Busy, temporarily unavailable, timeout. A decline (603) is the user's own decision: no voicemail then.
NOBODY_TOOK_IT = (404, 408, 480, 486)


async def route(request: IncomingRequest) -> None:
    """Send initial INVITEs through ``ring``; everything else goes the default way."""
    user = getattr(request.uri, "user", None)
    if request.method == "INVITE" and not request.in_dialog and user is not None and request.serves():
        if request.validate() and await admits(request):
            # A pre-loaded Route must not lead a call past us.
            request.message.remove("Route")
            request.record_route()
            await ring(request, f"sip:{user}@{VOICEMAIL_HOST}:{VOICEMAIL_PORT}")
        return
    await default_route(request)


async def ring(request: IncomingRequest, voicemail: str) -> None:
    """Try the phones; a call that they do not take goes to ``voicemail``."""
    if targets := await request.locate():
        outcome = await request.relay(targets)
        if outcome is None or outcome.status not in NOBODY_TOOK_IT or request.cancelled:
            return  # answered, declined or given up: the result goes back by itself
    request.relay(voicemail)
