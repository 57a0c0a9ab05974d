"""Be a back-to-back user agent: each call through here is two, and neither side sees the other's network.

A caller that the default route would admit is answered by the server itself, which calls the phones of the
user who was dialled. Hold, transfer and hanging up work from both sides; no call lasts longer than two
hours. Everything that is no new call goes the default way.

    sansip serve --route examples/routes/bridge.py
"""

from __future__ import annotations

from sansip.b2bua import Policy
from sansip.routing import IncomingRequest
from sansip.routing.default import admits
from sansip.routing.default import route as default_route

POLICY = Policy(max_duration=7_200)


async def route(request: IncomingRequest) -> None:
    """Bridge initial INVITEs for our users; everything else goes the default way."""
    if request.method != "INVITE" or request.in_dialog or request.user is None or not request.serves():
        await default_route(request)
    elif request.validate() and await admits(request):
        if targets := await request.locate():
            bridge = request.bridge(targets, POLICY, ring=60)
            if bridge is not None:
                await bridge
        else:
            request.answer_absent()
