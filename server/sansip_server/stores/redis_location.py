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
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha1
from typing import Any

from sansip.location import Heartbeat, NodeState, SharedRead, SharedRecord, SharedWrite
from sansip_server.stores.redis_client import RedisClient
from sansip_server.stores.redis_codec import VERSION_SIZE, NewerRecord, decode, encode, lifetime
from sansip_server.stores.resp import Command

__all__ = ["TIME", "WRITE", "Commands", "RedisLocation", "unix_of"]

logger = logging.getLogger("sansip.location")

# KEYS: the record. ARGV: version expected, version written, milliseconds to live (0:
# for ever, -1: delete), the record. Returns 1, or the record that stands instead. The GET behind the write
# has Redis tell this connection of the next change (``tracked``).
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
  return 1
elseif life == 0 then
  redis.call('SET', KEYS[1], ARGV[4])
else
  redis.call('SET', KEYS[1], ARGV[4], 'PX', life)
end
redis.call('GET', KEYS[1])
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


class Commands:
    """What is asked of Redis, and what its answers mean; ``prefix`` begins every key."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def key(self, aor: str) -> bytes:
        """Return the key of ``aor``; braces of its own would end the hash tag early."""
        if "%" in aor or "{" in aor or "}" in aor:
            aor = aor.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        return f"{self._prefix}:{{{aor}}}".encode("utf-8", "surrogateescape")

    @property
    def nodes(self) -> bytes:
        """The key of the signs of life."""
        return f"{self._prefix}:{{nodes}}".encode()

    def reads(self, aors: Iterable[str], untracked: bool = False) -> list[Command]:
        """Return the commands that read ``aors``; ``untracked``: Redis need not tell of their changes.

        With that, every other answer is one of no interest.
        """
        commands: list[Command] = []
        for aor in aors:
            if untracked:
                commands.append(("CLIENT", "CACHING", "NO"))
            commands.append(("GET", self.key(aor)))
        return commands

    @staticmethod
    def records(
        reads: Sequence[SharedRead], found: Mapping[str, Any], offset: float
    ) -> list[SharedRecord | Exception | None]:
        """Return the record for each of ``reads``, None for the known one, from the answer for each user."""
        return [_found(read, found[read.aor], offset) for read in reads]

    def writes(self, writes: Sequence[SharedWrite], now: float, offset: float) -> list[Command]:
        """Return the calls of the script of ``writes``, without its name."""
        calls: list[Command] = []
        for one in writes:
            life = lifetime(one.bindings, now)
            body = encode(one.version, one.bindings, offset) if life >= 0 else b""
            calls.append((self.key(one.aor), _octets(one.expected), one.version, life, body))
        return calls

    @staticmethod
    def written(
        writes: Sequence[SharedWrite], answers: Sequence[Any], offset: float
    ) -> list[SharedRecord | Exception | None]:
        """Return None for each write that was made, else the record that is there instead."""
        return [
            None if answer == 1 else _record(one.aor, answer, offset)
            for one, answer in zip(writes, answers, strict=True)
        ]


class Script:
    """Calls of a script, each with one key: by its digest, and by its text where Redis does not know it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def commands(self, calls: Sequence[Command]) -> list[Command]:
        """Return the commands of ``calls``, each a key and arguments."""
        return [("EVALSHA", self._digest, 1, *call) for call in calls]

    def again(self, calls: Sequence[Command], answers: Sequence[Any]) -> list[Command]:
        """Return the commands for those ``calls`` to which Redis answered that it does not know the script.

        It was started or promoted since, and learns the script by EVAL.
        """
        return [
            ("EVAL", self._text, 1, *call)
            for call, answer in zip(calls, answers, strict=True)
            if _is_unknown(answer)
        ]

    @staticmethod
    def merged(answers: Sequence[Any], again: Sequence[Any]) -> list[Any]:
        """Return ``answers`` with those to ``again`` in their places."""
        late = iter(again)
        return [next(late) if _is_unknown(answer) else answer for answer in answers]


WRITE, BEAT, TIME = map(Script, (_WRITE, _BEAT, _TIME))


class RedisLocation:
    """Reads, compares and swaps. Raises as ``RedisClient`` does; one object per thread."""

    def __init__(self, client: RedisClient, prefix: str) -> None:
        self._client = client
        self._commands = Commands(prefix)
        # The last description of a node that could not be read: the log says so once.
        self._unread = b""

    def key(self, aor: str) -> bytes:
        """Return the key of ``aor``."""
        return self._commands.key(aor)

    def read(self, reads: Sequence[SharedRead], offset: float) -> list[SharedRecord | Exception | None]:
        """Return the present record of each; ``offset`` is Unix time minus the stack's clock."""
        # Callers of one number come in bursts, and it is read once.
        aors = dict.fromkeys([read.aor for read in reads])
        answers = self._client.run(self._commands.reads(aors))
        return self._commands.records(reads, dict(zip(aors, answers, strict=True)), offset)

    def write(
        self, writes: Sequence[SharedWrite], now: float, offset: float
    ) -> list[SharedRecord | Exception | None]:
        """Do each write in turn: None if it was made, else the record that is there instead."""
        answers = self._run(WRITE, self._commands.writes(writes, now, offset))
        return self._commands.written(writes, answers, offset)

    def beat(self, heartbeat: Heartbeat) -> list[NodeState]:
        """Say that a node lives; return all nodes that live. ``seconds`` of 0 or less: it does not live."""
        node = heartbeat.node
        text = json.dumps([node.name, node.life, node.address, node.draining, node.proof])
        life = node.life.encode("utf-8", "surrogateescape")
        arguments = (self._commands.nodes, life, round(heartbeat.seconds * 1000), text)
        (answer,) = self._run(BEAT, [arguments], durable=False)
        if isinstance(answer, Exception):
            raise answer
        return [state for one in answer if (state := self._state(one)) is not None]

    def time(self) -> float:
        """Return Redis's Unix time."""
        (answer,) = self._run(TIME, [(self._commands.nodes,)], durable=False)
        return unix_of(answer)

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

    def close(self) -> None:
        self._client.close()

    def _run(self, script: Script, calls: Sequence[Command], *, durable: bool = True) -> list[Any]:
        """Run ``script`` for each of ``calls``."""
        run = self._client.write if durable else self._client.run
        answers = run(script.commands(calls))
        again = script.again(calls, answers)
        return script.merged(answers, run(again)) if again else answers


def unix_of(answer: Any) -> float:
    """Return Redis's Unix time from the answer to ``TIME``; raise it if it is an error."""
    if isinstance(answer, Exception):
        raise answer
    seconds, micros = answer
    return int(seconds) + int(micros) / 1e6


def _octets(version: str) -> bytes:
    return version.encode("utf-8", "surrogateescape")


def _is_unknown(answer: Any) -> bool:
    return isinstance(answer, Exception) and type(answer).__name__ == "NoScriptError"


def _found(read: SharedRead, answer: Any, offset: float) -> SharedRecord | Exception | None:
    known = read.known
    if known and type(answer) is bytes and answer[:VERSION_SIZE] == _octets(known):
        return None
    return _record(read.aor, answer, offset)


def _record(aor: str, answer: Any, offset: float) -> SharedRecord | Exception:
    if isinstance(answer, Exception):
        return answer
    try:
        return decode(aor, answer or b"", offset)
    except NewerRecord as error:
        return error
