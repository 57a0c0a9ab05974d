"""The place of the shared location, and how the server asks it: the URL and the table ``[redis]``.

Theory of operation: the URL says which Redis (or Valkey) and of which kind, single,
behind sentinels, or a cluster; the table says what a URL cannot. The URL is judged
here, before anything is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

__all__ = ["RedisPlace", "RedisSettings", "parse_redis"]

_KINDS = {"": "single", "sentinel": "sentinel", "cluster": "cluster"}
_PORTS = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_SHAPES = (
    "expected redis://HOST:6379/0, redis+sentinel://HOST1,HOST2/MASTER/0 or redis+cluster://HOST1,HOST2"
    " (rediss for TLS)"
)


@dataclass(slots=True, kw_only=True)
class RedisSettings:
    """How the server asks Redis, for `location` and `rows`."""

    # File with the password, if it is not in the URL; relative to this file.
    password_file: str | None = None
    # Whether the sentinels ask for the same user name and password.
    sentinel_auth: bool = False
    # PEM file with the authorities that a rediss server's certificate must come
    # from, relative to this file; the system's own without it.
    authorities: str | None = None
    # Seconds to wait for a connection, and for each answer. When Redis is gone, the first phone waits that
    # long for its 503, and so does the first caller; after that the server refuses at once until its next
    # try.
    timeout: float = 1.0
    # How many replicas must have a registration before it is acknowledged (WAIT);
    # 0 leaves it to Redis. If all replicas have it, no acknowledged binding is lost when the master dies;
    # it costs a trip to them. Not for a cluster.
    wait_replicas: int = 0
    # Seconds to wait for those replicas; after that the phone gets a 503.
    wait_time: float = 0.5
    # The beginning of every key, for several installations on one Redis.
    prefix: str = "sansip"


@dataclass(slots=True)
class RedisPlace:
    """A URL taken apart. ``kind`` is ``single``, ``sentinel`` or ``cluster``."""

    kind: str
    hosts: list[tuple[str, int]]
    tls: bool
    username: str | None = None
    password: str | None = None
    database: int = 0
    master: str = ""

    def __str__(self) -> str:
        """The place without its password, for the log."""
        scheme = ("rediss" if self.tls else "redis") + ("" if self.kind == "single" else f"+{self.kind}")
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        path = "" if self.kind == "cluster" else f"/{self.master}/{self.database}".replace("//", "/")
        return f"{scheme}://{hosts}{path}"


def parse_redis(text: str) -> RedisPlace:
    """Return what ``text`` names; raise ``ValueError`` with what was expected."""
    parts = urlsplit(text)
    scheme, _, kind = parts.scheme.partition("+")
    if scheme not in ("redis", "rediss") or kind not in _KINDS:
        raise ValueError(f"{_SHAPES}; found {text.partition('://')[0]}://…")
    credentials, at, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    if parts.query or parts.fragment:
        raise ValueError(f"{_SHAPES}; what else there is to say stands in the table [redis]")
    place = RedisPlace(_KINDS[kind], [], scheme == "rediss")
    if at:
        place.username = unquote(username) or None
        place.password = unquote(password) or None
    place.hosts = [_host(one, _PORTS[place.kind]) for one in hosts.split(",")]
    segments = [segment for segment in parts.path.split("/") if segment]
    if place.kind == "sentinel":
        if not segments:
            raise ValueError(f"{_SHAPES}; the name of the master is missing")
        place.master = unquote(segments.pop(0))
    elif place.kind == "single" and len(place.hosts) > 1:
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    if segments:
        if len(segments) > 1 or not segments[0].isdecimal() or place.kind == "cluster":
            raise ValueError(f"{_SHAPES}; found the path {parts.path}")
        place.database = int(segments[0])
    return place


def _host(text: str, port: int) -> tuple[str, int]:
    host, colon, given = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, given = text, str(port)
    host = host.strip("[]")
    if not host or not given.isdecimal() or not 0 < int(given) < 65_536:
        raise ValueError(f"{_SHAPES}; found the host {text!r}")
    return host, int(given)
