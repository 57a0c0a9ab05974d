"""A client of Redis or Valkey for a URL: single, behind sentinels, or a cluster.

Theory of operation: all three answer batches of commands: the answers come in order, an exception
instance for a command that failed by itself. redis-py follows the sentinels to the present
master, and a cluster's MOVED and ASK. It retries a broken connection once; after that the caller
decides when to try again.

One client belongs to one thread.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sansip_server.config.redis import RedisPlace, RedisSettings
from sansip_server.faults import OperatorError, os_reason
from sansip_server.stores.resp import Command, Malformed

__all__ = [
    "Connected",
    "Opening",
    "RedisClient",
    "Replicas",
    "connect",
    "is_read_only",
    "is_refused",
    "lacking",
    "password_of",
    "waiting",
]


class Replicas(Exception):
    """Too few replicas took a batch of writes in time."""


class RedisClient:
    """Batches of commands to the Redis of ``place``.

    Raises the exceptions of redis-py if it could ask nothing at all: ``redis.RedisError`` or ``OSError``.
    """

    def __init__(self, place: RedisPlace, settings: RedisSettings, password: str | None) -> None:
        self.place = place
        self._settings = settings
        self._password = password
        self._client: Any = None

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to ``commands``, which are sent at once."""
        pipeline = self._connected().pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            answers = list(pipeline.execute(raise_on_error=False))
        except Exception:
            if self.place.kind == "cluster":
                # redis-py does not read the list of a cluster's nodes anew as long as it cannot connect to
                # one of them: it would ask a dead master for ever.
                self.close()
            raise
        if self.place.kind == "sentinel" and any(is_read_only(one) for one in answers):
            # This server is no master any more: the next connection goes to the new master.
            self._client.connection_pool.disconnect()
        return answers

    def write(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to ``commands`` once the wanted number of replicas has their writes.

        Raises ``Replicas`` if the replicas do not have them in time.
        """
        if not self._settings.wait_replicas:
            return self.run(commands)
        answers = self.run(waiting(commands, self._settings))
        fault = lacking(answers.pop(), self._settings)
        if fault is not None:
            raise fault
        return answers

    def evicts(self) -> str:
        """Return the policy by which a server throws keys away when it is full, "" if none does.

        Also "" if this client may not ask for it.
        """
        client = self._connected()
        try:
            if self.place.kind == "cluster":
                found = list(client.info("memory", target_nodes=client.PRIMARIES).values())
            else:
                found = [client.info("memory")]
        except Exception:
            return ""
        for memory in found:
            policy = str(memory.get("maxmemory_policy", ""))
            if memory.get("maxmemory") and policy not in ("", "noeviction"):
                return policy
        return ""

    def check(self) -> None:
        """Raise ``OperatorError`` if redis-py is missing; nothing is opened."""
        _module("redis")

    def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        if self._client is None:
            self._client = connect(self.place, self._settings, self._password)
        return self._client


class Connected:
    """An open connection that waits for nothing: its socket, and the pumps that use it.

    ``tracks``: Redis tells over it which of the keys that were read over it have changed.
    """

    def __init__(self, connection: Any, tracks: bool = False) -> None:
        self.tracks = tracks
        # It owns the socket.
        self._connection = connection
        self.sock: socket.socket = connection._sock
        self.sock.setblocking(False)
        self.pumps = 0

    def left(self) -> None:
        """Note that a pump is done with it; the last one closes it."""
        self.pumps -= 1
        if self.pumps <= 0:
            self.close()

    def close(self) -> None:
        self._connection.disconnect()


class Opening:
    """Opens connections for code that must not wait: names, sentinels, TLS and AUTH are redis-py's.

    It is a handler of ``sansip_sockets.workers``, and runs in a thread. ``tracks``: have Redis tell of keys
    that change, where it can and this user may. Raises as ``RedisClient`` does.
    """

    def __init__(
        self, place: RedisPlace, settings: RedisSettings, password: str | None, *, tracks: bool = False
    ) -> None:
        self._given = (place, settings, password)
        self._tracks = tracks
        self._client: Any = None

    def __call__(self, _question: None) -> Connected:
        """Return a new connection."""
        connection = None
        if self._tracks:
            try:
                connection = self._connected(3)
            except Exception as error:
                if not is_refused(error):
                    raise
                # A proxy in front of Redis that knows RESP2 alone.
                self._tracks = False
                self._client = None
        if connection is None:
            return Connected(self._connected(2))
        return Connected(connection, _begin_tracking(connection))

    def _connected(self, protocol: int) -> Any:
        if self._client is None:
            self._client = connect(*self._given, protocol=protocol)
        connection = self._client.connection_pool.make_connection()
        connection.connect()
        return connection


def _begin_tracking(connection: Any) -> bool:
    """Have Redis tell ``connection`` of keys that change, but for its own writes; return False if it may not.

    OPTOUT: a CLIENT CACHING NO before a read leaves its keys out.
    """
    connection.send_command("CLIENT", "TRACKING", "ON", "OPTOUT", "NOLOOP")
    try:
        connection.read_response()
    except Exception as error:
        if is_refused(error):
            return False
        connection.disconnect()
        raise
    return True


def is_refused(error: Exception) -> bool:
    """Whether Redis answered, with an error: full, read-only, without its replicas, or not allowed."""
    # redis-py is imported only where it is used.
    return any(one.__name__ == "ResponseError" for one in type(error).__mro__)


def waiting(commands: Sequence[Command], settings: RedisSettings) -> list[Command]:
    """Return ``commands`` with a WAIT for the replicas; it is about what one connection wrote."""
    return [*commands, (b"WAIT", settings.wait_replicas, int(settings.wait_time * 1000))]


def lacking(reached: Any, settings: RedisSettings) -> Exception | None:
    """Return why too few replicas have the writes, None if enough have; ``reached`` answers the WAIT."""
    if isinstance(reached, Exception):
        return reached
    if not isinstance(reached, int):
        return Malformed("the answer to WAIT is no number")
    wanted = settings.wait_replicas
    if reached < wanted:
        return Replicas(f"{reached} of {wanted} replicas took it in {settings.wait_time:g} s")
    return None


def is_read_only(answer: Any) -> bool:
    """Whether ``answer``, of redis-py or ``resp``, is that of a replica to a write."""
    # Redis 6 puts its code into the text of a script's error.
    return isinstance(answer, Exception) and (
        type(answer).__name__ == "ReadOnlyError" or "READONLY" in str(answer)
    )


def connect(place: RedisPlace, settings: RedisSettings, password: str | None, *, protocol: int = 2) -> Any:
    """Return redis-py's client for ``place``; that of a cluster has asked for its nodes.

    ``protocol``: the version of RESP; every Redis and Valkey speaks 2.

    Raises ``OperatorError`` if redis-py is missing.
    """
    redis, backoff, retry, sentinels = map(
        _module, ("redis", "redis.backoff", "redis.retry", "redis.sentinel")
    )
    sockets: dict[str, Any] = {
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        "socket_keepalive": True,
    }
    common = sockets | {
        "username": place.username,
        "password": password,
        # A connection that the server closed meanwhile costs one more try.
        "retry": retry.Retry(backoff.ConstantBackoff(0.02), 1),
        "protocol": protocol,
    }
    if place.tls:
        common |= {"ssl": True, "ssl_ca_certs": settings.authorities}
    if place.kind == "cluster":
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in place.hosts]
        return redis.RedisCluster(startup_nodes=nodes, **common)
    if place.kind == "sentinel":
        asked = dict(sockets)
        if settings.sentinel_auth:
            asked |= {"username": place.username, "password": password}
        if place.tls:
            asked |= {"ssl": True, "ssl_ca_certs": settings.authorities}
        watch = sentinels.Sentinel(place.hosts, sentinel_kwargs=asked, **common)
        return watch.master_for(place.master, db=place.database)
    ((host, port),) = place.hosts
    return redis.Redis(host, port, db=place.database, **common)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise OperatorError("the shared location needs redis-py: pip install 'sansip[redis]'") from None


def password_of(place: RedisPlace, settings: RedisSettings) -> str | None:
    """Return the password: from its file, else from the URL. Raises ``OperatorError``."""
    if settings.password_file is None:
        return place.password
    try:
        text = Path(settings.password_file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "not UTF-8"
        raise OperatorError(f"redis.password_file {settings.password_file}: {reason}") from None
    return text.strip("\r\n") or None
