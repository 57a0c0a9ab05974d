"""The shared location in Redis: one key for each address-of-record, one script to change it.

Theory of operation: the record of an address-of-record is one string, which the script replaces only if it
has the expected version (compare and swap, atomic because Redis runs one script at a time). Otherwise the
script returns the present record, so a conflict costs no further question. The key lives as long as the last
of its bindings, so no node has to delete expired records. The address-of-record is the key's hash tag: in a
cluster each record is on one node, and records spread.

The nodes' signs of life are one hash, judged by the clock of Redis, as all expiry is. The field
of a node names one life of it: two nodes of one name have two fields.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from sansip.location import Heartbeat, NodeState, SharedRead, SharedRecord, SharedWrite
from sansip_server.stores.redis_client import Command, RedisClient
from sansip_server.stores.redis_codec import NewerRecord, decode, encode, lifetime

__all__ = ["RedisLocation"]

logger = logging.getLogger("sansip.location")

# KEYS: the record. ARGV: version expected, version written, milliseconds to live (0:
# for ever, -1: delete), the record. Returns 1, or the record that stands instead.
_WRITE = """
local record = redis.call('GET', KEYS[1])
local version = record and string.sub(record, 1, 16) or ''
if version ~= ARGV[1] then
  if version == ARGV[2] then return 1 end
  return record or ''
end
local life = tonumber(ARGV[3])
if life < 0 then
  redis.call('DEL', KEYS[1])
elseif life == 0 then
  redis.call('SET', KEYS[1], ARGV[4])
else
  redis.call('SET', KEYS[1], ARGV[4], 'PX', life)
end
return 1
"""

# KEYS: the hash of nodes. ARGV: life, milliseconds to live, description. Returns the
# descriptions of all nodes that live. TIME before a write: Redis replicates effects.
_BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now + ARGV[2]) .. ARGV[3])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
local alive = {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local till, text = string.match(fields[i + 1], '^(%d+) (.*)$')
  if till and tonumber(till) > now then
    alive[#alive + 1] = text
  elseif till then
    redis.call('HDEL', KEYS[1], fields[i])
  end
end
return alive
"""

# KEYS: the hash of nodes, so that in a cluster one server's clock is asked.
_TIME = "return redis.call('TIME')"

_SHA = {text: sha1(text.encode(), usedforsecurity=False).hexdigest() for text in (_WRITE, _BEAT, _TIME)}


class RedisLocation:
    """Reads, compares and swaps. Raises as ``RedisClient`` does; one object per thread."""

    def __init__(self, client: RedisClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        # The last description of a node that could not be read: the log says so once.
        self._unread = b""

    def key(self, aor: str) -> bytes:
        """Return the key of ``aor``; braces of its own would end the hash tag early."""
        tag = aor.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        return f"{self._prefix}:{{{tag}}}".encode("utf-8", "surrogateescape")

    def read(self, reads: Sequence[SharedRead], offset: float) -> list[SharedRecord | Exception]:
        """Return the present record of each; ``offset`` is Unix time minus the stack's clock."""
        # Callers of one number come in bursts; it is read once.
        keys = {read.aor: self.key(read.aor) for read in reads}
        found = dict(zip(keys, self._client.run([("GET", key) for key in keys.values()]), strict=True))
        return [_record(read.aor, found[read.aor], offset) for read in reads]

    def write(
        self, writes: Sequence[SharedWrite], now: float, offset: float
    ) -> list[SharedRecord | Exception | None]:
        """Do each write in turn: None if it was made, else the record that is there instead."""
        commands: list[Command] = []
        for one in writes:
            life = lifetime(one.bindings, now)
            body = encode(one.version, one.bindings, offset) if life >= 0 else b""
            commands.append((self.key(one.aor), _octets(one.expected), one.version, life, body))
        answers = self._script(_WRITE, commands)
        return [
            None if answer == 1 else _record(one.aor, answer, offset)
            for one, answer in zip(writes, answers, strict=True)
        ]

    def beat(self, heartbeat: Heartbeat) -> list[NodeState]:
        """Say that a node lives; return all nodes that live. ``seconds`` of 0 or less: it does not live."""
        node = heartbeat.node
        text = json.dumps([node.name, node.life, node.address, node.draining, node.proof])
        life = node.life.encode("utf-8", "surrogateescape")
        arguments = (self._nodes, life, round(heartbeat.seconds * 1000), text)
        (answer,) = self._script(_BEAT, [arguments], durable=False)
        if isinstance(answer, Exception):
            raise answer
        return [state for one in answer if (state := self._state(one)) is not None]

    def time(self) -> float:
        """Return Redis's Unix time."""
        (answer,) = self._script(_TIME, [(self._nodes,)], durable=False)
        if isinstance(answer, Exception):
            raise answer
        seconds, micros = answer
        return int(seconds) + int(micros) / 1e6

    def evicts(self) -> str:
        """Return the policy by which a server throws records away when it is full, "" if none does."""
        return self._client.evicts()

    def _state(self, text: bytes) -> NodeState | None:
        """Return the node that ``text`` describes, None for text that this version cannot read."""
        try:
            name, life, address, draining, *more = json.loads(text)
            fields = (name, life, address, *more[:1])
            if all(isinstance(one, str) for one in fields):
                # A newer version may add fields.
                return NodeState(name, life, address, draining is True, more[0] if more else "")
        except (ValueError, TypeError, RecursionError):
            pass
        if text != self._unread:
            self._unread = text
            logger.warning("a node that this version cannot read shares the location: %r", text[:200])
        return None

    @property
    def _nodes(self) -> bytes:
        return f"{self._prefix}:{{nodes}}".encode()

    def close(self) -> None:
        self._client.close()

    def _script(self, text: str, calls: Sequence[Command], *, durable: bool = True) -> list[Any]:
        """Run ``text`` for each of ``calls``: a key and arguments."""
        run = self._client.write if durable else self._client.run
        answers = run([("EVALSHA", _SHA[text], 1, *call) for call in calls])
        unknown = [number for number, answer in enumerate(answers) if _is_unknown(answer)]
        if unknown:
            # This server was started or promoted since: it learns the script by EVAL.
            again = run([("EVAL", text, 1, *calls[number]) for number in unknown])
            for number, answer in zip(unknown, again, strict=True):
                answers[number] = answer
        return answers


def _octets(version: str) -> bytes:
    return version.encode("utf-8", "surrogateescape")


def _is_unknown(answer: Any) -> bool:
    return isinstance(answer, Exception) and type(answer).__name__ == "NoScriptError"


def _record(aor: str, answer: Any, offset: float) -> SharedRecord | Exception:
    if isinstance(answer, Exception):
        return answer
    try:
        return decode(aor, answer or b"", offset)
    except NewerRecord as error:
        return error
