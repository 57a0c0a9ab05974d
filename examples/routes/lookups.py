"""Decide who may call abroad, and with which number, by look-ups in SQL, over HTTP and in Redis.

Each look-up is a plain blocking function, marked `@handler`: it runs in threads of its own. A look-up
that hangs delays only the calls that wait for it, two seconds each. It needs
`pip install 'sansip[postgresql,redis]'`, and in the environment LOOKUP_DATABASE (an SQLAlchemy URL),
LOOKUP_CREDIT (an HTTP URL), LOOKUP_REDIS, and LOOKUP_GATEWAY (host and port of the gateway).
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
import urllib.request
from functools import cache
from typing import Any

from sansip.routing import IncomingRequest, handler
from sansip.routing.default import admits
from sansip.routing.default import route as default_route

NUMBER = re.compile(r"\+[0-9]{3,15}")


@cache
def database() -> Any:
    import sqlalchemy

    return sqlalchemy.create_engine(os.environ["LOOKUP_DATABASE"], pool_size=4, pool_timeout=2)


@cache
def redis_client() -> Any:
    import redis

    return redis.Redis.from_url(os.environ["LOOKUP_REDIS"], socket_timeout=2)


@handler(parallel=4)
def number_of(user: str) -> str | None:
    """Return the number for calls of ``user`` to show, from SQL."""
    import sqlalchemy

    with database().connect() as connection:
        query = sqlalchemy.text("SELECT number FROM numbers WHERE username = :user")
        number: str | None = connection.execute(query, {"user": user}).scalar()
    return number


@handler(parallel=8, within=1.0)
def credit_of(user: str) -> float:
    """Return the amount that ``user`` may still spend, from a web service."""
    url = f"{os.environ['LOOKUP_CREDIT']}?{urllib.parse.urlencode({'user': user})}"
    with urllib.request.urlopen(url, timeout=1.0) as answer:
        return float(json.load(answer)["credit"])


@handler()
def is_blocked(number: str) -> bool:
    """Whether calls to ``number`` are forbidden, from a set in Redis."""
    return bool(redis_client().sismember("blocked", number))


async def route(request: IncomingRequest) -> None:
    """Calls to numbers go to the gateway; everything else goes the default way."""
    dialled = NUMBER.fullmatch(request.user or "")
    if request.method != "INVITE" or request.in_dialog or dialled is None:
        await default_route(request)
        return
    if not (request.validate() and await admits(request)):
        return
    number, caller = dialled[0], getattr(request.message.from_.uri, "user", None) or ""
    try:
        if await is_blocked(number):
            request.reply(603, "Blocked")
            return
        if await credit_of(caller) <= 0:
            request.reply(402, "No Credit")
            return
        shown = await number_of(caller)
    except Exception:
        # A look-up failed or took too long: the caller may try again.
        request.reply(503, "Look-Up Failed", [("Retry-After", "5")])
        return
    if shown is not None:
        request.message.append("P-Asserted-Identity", f"<sip:{shown}@{request.host}>")
    request.message.remove("Route")
    request.record_route()
    gateway = os.environ.get("LOOKUP_GATEWAY", "127.0.0.1:5090")
    outcome = await request.relay(f"sip:{number}@{gateway}", ring=60, answer=4)
    if outcome is not None and outcome.status == 408:
        request.reply(480, "Nobody Answered")
