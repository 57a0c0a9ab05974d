"""Rows in Redis or Valkey, where they are shared between nodes and change often.

Theory of operation: a table is a hash (key -> values, as JSON) and a sorted set of its keys, all
with score 0, so that Redis keeps them in the order of their octets. All tables have one hash tag
and so lie on one node of a cluster, because a write of several tables is one script, which Redis
runs as a whole. The script first compares the versions of its tables. So if a node of an older
version still runs while another one migrates the table, the script refuses its writes.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from sansip.rows import Column, Expected, Key, Read, Scan, Table, Values, Write
from sansip_server.faults import OperatorError
from sansip_server.rows.codec import Codec, described, layout, stored_table
from sansip_server.rows.interface import Outdated, Unexpected, check_table, upgrade
from sansip_server.stores.interface import DataRefused
from sansip_server.stores.redis_client import RedisClient

__all__ = ["RedisRows", "decode", "encode", "ordered", "read_values", "written"]

# Rows in one command: a script in Redis can pass on a few thousand words at most.
_CHUNK = 1_000
# KEYS[1]: the hash of versions. ARGV: how many tables, name and version of each; how many rows are expected,
# and of each the hash, the key, and "=" with its text, or "" for none; then each command as the number of its
# words, and its words.
_SCRIPT = """
local at = 2
for _ = 1, tonumber(ARGV[1]) do
  if redis.call('HGET', KEYS[1], ARGV[at]) ~= ARGV[at + 1] then
    return redis.error_reply('NEWER the table ' .. ARGV[at] .. ' is not the one that this program writes')
  end
  at = at + 2
end
local expected = tonumber(ARGV[at])
at = at + 1
for _ = 1, expected do
  local found = redis.call('HGET', ARGV[at], ARGV[at + 1])
  if (found and '=' .. found or '') ~= ARGV[at + 2] then
    return redis.error_reply('UNEXPECTED')
  end
  at = at + 3
end
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
return 'OK'
"""

# The beginning of the script's refusal.
_NEWER = "NEWER"
_UNEXPECTED = "UNEXPECTED"

_Command: TypeAlias = Sequence[bytes | str | int]


class RedisRows:
    """The rows in the Redis of ``client``, which the caller closes; ``prefix`` begins every key."""

    def __init__(self, client: RedisClient, prefix: str) -> None:
        self._client = client
        self.name = str(client.place)
        # The braces are Redis Cluster's: the text in them decides the node.
        self._prefix = f"{{{prefix}:rows}}:"
        self._versions = f"{self._prefix}versions"
        self._codecs: dict[str, Codec] = {}

    def _rows(self, table: str) -> str:
        return f"{self._prefix}{table}"

    def _order(self, table: str) -> str:
        return f"{self._prefix}{table}:keys"

    def _codec(self, table: Table[Any]) -> Codec:
        found = self._codecs.get(table.name)
        if found is None:
            found = self._codecs[table.name] = Codec(table.columns, table.key, encode, decode)
        return found

    def prepare(self, tables: Iterable[Table[Any]]) -> None:
        """Make the tables, or bring older ones to today's version."""
        for table in tables:
            (given,) = self._asked(("HGET", self._versions, table.name))
            found, columns, *_ = (None, "") if given is None else json.loads(given)
            check_table(table, found, self.name)
            commands: list[_Command] = []
            if found is not None and found < table.version:
                # From here on Redis refuses older nodes; if this process is killed, the next start goes on
                # here.
                moving = json.dumps([found, columns, "is being migrated"])
                self._asked(("HSET", self._versions, table.name, moving))
                commands = self._migrated(table, found, columns)
            self._together((), [*commands, ("HSET", self._versions, table.name, _version(table))])

    def _asked(self, *commands: _Command) -> list[Any]:
        """Return the answers to ``commands``. Raises ``OperatorError`` with the first that failed."""
        answers = self._client.run(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise OperatorError(f"{self.name}: {answer}") from answer
        return answers

    def _migrated(self, table: Table[Any], found: int, before: str) -> list[_Command]:
        """Return the commands that put the rows of today in the place of those of version ``found``."""
        columns, key = layout(before)
        names = [column.name for column in columns]
        codec = Codec(columns, key, encode, decode)
        (given,) = self._asked(("HVALS", self._rows(table.name)))
        rows = (dict(zip(names, read_values(codec, columns, one), strict=True)) for one in given)
        try:
            values = upgrade(table, rows, found, self.name)
        except OperatorError:
            self._asked(("HSET", self._versions, table.name, json.dumps([found, before])))
            raise
        commands: list[_Command] = [("DEL", self._rows(table.name), self._order(table.name))]
        for begin in range(0, len(values), _CHUNK):
            commands += self._put(table, values[begin : begin + _CHUNK])
        return commands

    def _put(self, table: Table[Any], rows: Sequence[Values]) -> list[_Command]:
        codec = self._codec(table)
        put: list[bytes | str | int] = ["HSET", self._rows(table.name)]
        add: list[bytes | str | int] = ["ZADD", self._order(table.name)]
        for values in rows:
            key = ordered(table.key_of(values))
            put += [key, written(codec, table.columns, values)]
            add += [0, key]
        return [put, add]

    def _together(
        self, tables: Iterable[Table[Any]], commands: Sequence[_Command], expected: Sequence[Expected] = ()
    ) -> None:
        """Do all ``commands`` or none; none if one of ``tables`` has another version by now.

        None either if a row is not the expected one.
        """
        checked = {table.name: _version(table) for table in tables}
        words: list[bytes | str | int] = [len(checked)]
        for name, version in checked.items():
            words += [name, version]
        words.append(len(expected))
        for one in expected:
            text = (
                "" if one.values is None else written(self._codec(one.table), one.table.columns, one.values)
            )
            words += [self._rows(one.table.name), ordered(one.key), f"={text}" if text else ""]
        for command in commands:
            words += [len(command), *command]
        (answer,) = self._client.write([("EVAL", _SCRIPT, 1, self._versions, *words)])
        if isinstance(answer, Exception):
            if str(answer).startswith(_UNEXPECTED):
                raise Unexpected from answer
            if str(answer).startswith(_NEWER):
                raise Outdated(
                    f"{self.name}: {str(answer).removeprefix(_NEWER).strip()}: restart it as the program that"
                    " migrated the table"
                ) from answer
            raise answer

    def read(self, question: Read) -> list[Values | None]:
        """Return the values of each key, or None."""
        if not question.keys:
            return []
        table = question.table
        (answer,) = self._client.run(
            [("HMGET", self._rows(table.name), *(ordered(key) for key in question.keys))]
        )
        if isinstance(answer, Exception):
            raise answer
        codec = self._codec(table)
        return [None if one is None else read_values(codec, table.columns, one) for one in answer]

    def scan(self, question: Scan) -> list[Values]:
        """Return a page of rows in the order of the key."""
        table = question.table
        begin = ordered(question.prefix)
        least, most = b"[" + begin, b"(" + begin + b"\xff" if begin else b"+"
        if question.after is not None:
            behind = ordered(question.after)
            if behind >= begin:
                least = b"(" + behind
        if not begin and question.after is None:
            least = b"-"
        (keys,) = self._client.run(
            [("ZRANGEBYLEX", self._order(table.name), least, most, "LIMIT", 0, question.limit)]
        )
        if isinstance(keys, Exception):
            raise keys
        if not keys:
            return []
        (answer,) = self._client.run([("HMGET", self._rows(table.name), *keys)])
        if isinstance(answer, Exception):
            raise answer
        codec = self._codec(table)
        # A row may have been deleted between the two.
        return [read_values(codec, table.columns, one) for one in answer if one is not None]

    def write(self, questions: Sequence[Write]) -> None:
        """Make all durable, or none."""
        commands: list[_Command] = []
        for question in questions:
            for change in question.changes:
                for begin in range(0, len(change.rows), _CHUNK):
                    commands += self._put(change.table, change.rows[begin : begin + _CHUNK])
                for begin in range(0, len(change.deleted), _CHUNK):
                    keys = [ordered(key) for key in change.deleted[begin : begin + _CHUNK]]
                    commands.append(("HDEL", self._rows(change.table.name), *keys))
                    commands.append(("ZREM", self._order(change.table.name), *keys))
        expected = [each for one in questions for each in one.expected]
        self._together([change.table for one in questions for change in one.changes], commands, expected)

    def tables(self) -> list[Table[Any]]:
        """Return the tables that there are, by name."""
        (given,) = self._asked(("HGETALL", self._versions))
        words = iter(given.items() if isinstance(given, dict) else zip(given[::2], given[1::2], strict=True))
        found = {name.decode(): json.loads(text) for name, text in words}
        return [stored_table(name, version, text) for name, (version, text, *_) in sorted(found.items())]

    def count(self, table: Table[Any]) -> int:
        """Return how many rows ``table`` has."""
        (number,) = self._asked(("HLEN", self._rows(table.name)))
        return int(number)

    def close(self) -> None:
        """Do nothing: the caller closes the client."""


def ordered(key: Key) -> bytes:
    """Return ``key``, or the beginning of one, as octets that sort as it does.

    Text and octets end in 00 01, a 00 within them is 00 ff; an integer is 8 octets, beginning with its sign.
    """
    parts = []
    for value in key:
        if isinstance(value, int):
            parts.append(struct.pack(">Q", value + (1 << 63)))
        elif value is None:
            raise DataRefused("a key without a value")
        else:
            octets = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            parts.append(octets.replace(b"\0", b"\0\xff") + b"\0\x01")
    return b"".join(parts)


def _version(table: Table[Any]) -> str:
    return json.dumps([table.version, described(table.columns, table.key)])


def written(codec: Codec, columns: Sequence[Column], values: Values) -> str:
    plain = [
        base64.b64encode(value).decode() if column.kind == "octets" and value is not None else value
        for column, value in zip(columns, codec.write(values), strict=True)
    ]
    return json.dumps(plain, separators=(",", ":"))


def read_values(codec: Codec, columns: Sequence[Column], text: bytes) -> Values:
    given = [
        base64.b64decode(value) if column.kind == "octets" and value is not None else value
        for column, value in zip(columns, json.loads(text), strict=True)
    ]
    return codec.read(given)


def encode(value: str) -> str:
    # JSON holds the lone surrogates that stand for octets which are not UTF-8.
    return value


def decode(value: str) -> str:
    return value
