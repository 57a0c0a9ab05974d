"""Be a back-to-back user agent: each call through here is two, and neither side sees the other's network.

If the default route would admit a caller, the server itself answers the call, and calls the phones of the
user who was dialled. Hold, transfer and hanging up work from both sides; a transfer can only lead to our
users, and no call lasts longer than two hours. The server also carries MESSAGE and other requests that
begin no dialog over. Everything else goes the default way.

    sansip serve --route examples/routes/bridge.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.b2bua import CARRIED, Policy, Referral
from sansip.routing import IncomingRequest
from sansip.routing.default import admits
from sansip.routing.default import route as default_route

if TYPE_CHECKING:
    from sansip.routing import Target


async def route(request: IncomingRequest) -> None:
    """Bridge calls for our users; everything else goes the default way."""
    ours = request.method == "INVITE" or request.method in CARRIED
    if not ours or request.in_dialog or request.user is None or not request.serves():
        await default_route(request)
        return
    if not (request.validate() and await admits(request)):
        return
    targets = await request.locate()
    if not targets:
        request.answer_absent()
    elif request.method != "INVITE":
        request.carry(targets)
    else:

        async def transfer(referral: Referral) -> list[Target] | None:
            wanted = referral.target
            return await request.locate(wanted) if referral.known and request.serves(wanted) else None

        bridge = request.bridge(targets, Policy(max_duration=7_200, transfer=transfer), ring=60)
        if bridge is not None:
            await bridge
