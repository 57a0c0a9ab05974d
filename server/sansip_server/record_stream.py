"""Records in a Redis stream: a queue for billing, with consumer groups.

Theory of operation: one script for each record adds it unless its name was added before, so a write whose
answer was lost is repeated without a second entry. Names are remembered for a day.
"""

from __future__ import annotations

from collections.abc import Mapping

from sansip_server.config.redis import RedisSettings, parse_redis
from sansip_server.stores.redis_client import RedisClient, password_of

__all__ = ["RecordStream"]

# KEYS: the stream, the name. ARGV: the record, its name, entries to keep (0: all), seconds.
_ADD = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if ARGV[3] == '0' then
  redis.call('XADD', KEYS[1], '*', 'name', ARGV[2], 'record', ARGV[1])
else
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'name', ARGV[2], 'record', ARGV[1])
end
redis.call('SET', KEYS[2], '1', 'EX', ARGV[4])
return 1
"""
_DAY = 86_400


class RecordStream:
    """The stream ``name`` in the Redis at ``url``. Raises ``ValueError`` for a URL that is none."""

    def __init__(self, url: str, name: str, most: int) -> None:
        place = parse_redis(url)
        self._client = RedisClient(place, settings := RedisSettings(), password_of(place, settings))
        # The braces are Redis Cluster's: both keys of a script lie on one node.
        self._stream, self._name = f"{{{name}}}", str(place)
        self._most = most
        self.written = 0

    def append(self, lines: Mapping[str, str]) -> None:
        """Add the records that are not there. Raises ``OSError`` where Redis did not take them all."""
        commands = [
            ("EVAL", _ADD, 2, self._stream, f"{self._stream}:{name}", line, name, self._most, _DAY)
            for name, line in lines.items()
        ]
        try:
            answers = self._client.run(commands)
        except Exception as error:
            raise OSError(f"{self._name}: {error}") from error
        for answer in answers:
            if isinstance(answer, Exception):
                raise OSError(f"{self._name}: {answer}")
        self.written += sum(map(int, answers))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
