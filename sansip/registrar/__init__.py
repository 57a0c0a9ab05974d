"""The registrar: REGISTER requests become updates of the location service (RFC 3261 10.3).

The steps, in the RFC's order, and who takes each:

    1. routing     is the Request-URI one of our domains?
    2. registrar   refusal = registrar.check(request)                  -> Reply (420) | None
    3. 4. routing  authentication, authorization
    5. registrar   aor = registrar.address_of_record(request, domains) -> str | Reply (400, 404)
    6. 7. 8.       current = location.lookup(aor, now)
                   plan = registrar.plan(request, aor, current, now, flow=..., received=..., wall_offset=...)
                   plan.update: LocationUpdate | None (nothing to change: a fetch, or a refusal)
                   plan.reply:  Reply(status, reason, headers), headers: list[tuple[name, value]]
                   outcome = location.apply(plan.update, now)
                   reply = registrar.reply(plan, outcome)              -> Reply; None: CONFLICT, plan again

With the location service in memory all of 5 to 8 is one call:

    reply = registrar.register(request, location, now, domains=..., flow=..., received=..., wall_offset=...)

and the response is ``response_to(request, reply.status, reply.reason, to_tag=..., headers=reply.headers)``.

    flow         hashable, kept in the binding: the connection (or the listener) it came over; None when
                 another proxy sent it, because the end of that connection is no sign about the phone
    received     the ``Source`` that it came from, where the phone is reached there; or None
    terms        ``Terms``: the sender, as far as it is known, and how many contacts it may have
    wall_offset  Unix time minus ``now``, for the Date field; None leaves Date out
"""

from __future__ import annotations

from .admission import Terms
from .config import OnFull, PathFrom, PathMode, RegistrarConfig
from .contact import contact_value, delta_seconds
from .date import sip_date
from .gruu import Gruu, Gruus
from .outbound import instance_key, is_direct, supports
from .registrar import Registrar
from .reply import Plan, Reply

__all__ = [
    "Gruu",
    "Gruus",
    "OnFull",
    "PathFrom",
    "PathMode",
    "Plan",
    "Registrar",
    "RegistrarConfig",
    "Reply",
    "Terms",
    "contact_value",
    "delta_seconds",
    "instance_key",
    "is_direct",
    "sip_date",
    "supports",
]
