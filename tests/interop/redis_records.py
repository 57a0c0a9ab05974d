"""Bindings written to Redis and read from it by the store's own code, with the time of the day."""

from __future__ import annotations

import itertools
import time
from typing import Any

from sansip.location import (
    Binding,
    SharedRead,
    SharedRecord,
    SharedWrite,
)
from sansip_server.config.redis import RedisSettings, parse_redis
from sansip_server.stores.redis_client import RedisClient, password_of
from sansip_server.stores.redis_location import RedisLocation

__all__ = ["AOR", "VERSIONS", "binding", "make", "read", "write"]

AOR = "sip:bob@biloxi.test"
VERSIONS = (f"{number:016d}" for number in itertools.count(1))


def make(url: str, **settings: Any) -> RedisLocation:
    place = parse_redis(url)
    given = RedisSettings(**settings)
    return RedisLocation(RedisClient(place, given, password_of(place, given)), given.prefix)


def binding(
    contact: str = "sip:bob@192.0.2.2", *, seconds: float = 600.0, cseq: int = 1, aor: str = AOR
) -> Binding:
    now = time.time()
    return Binding(aor, contact, now + seconds, "call-id", cseq, registered_at=now, refreshed_at=now)


def write(
    location: RedisLocation, *bindings: Binding, expected: str = "", version: str = "", aor: str = AOR
) -> Any:
    """Write with Unix times; return None, or what stands instead."""
    one = SharedWrite(aor, expected, version or next(VERSIONS), bindings)
    return location.write([one], time.time(), 0.0)[0]


def read(location: RedisLocation, aor: str = AOR) -> SharedRecord:
    (found,) = location.read([SharedRead(aor)], 0.0)
    assert isinstance(found, SharedRecord)
    return found
