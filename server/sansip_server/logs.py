"""The log: text for people or JSON lines for programs, on standard error.

Theory of operation: the core has no log; it sends events, and adapters and the server write them. One
handler, one line a record, so that lines of a busy server are never torn. Line breaks and other control
characters in a message (a peer may have chosen it) are escaped, so no peer can forge a record.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any, TextIO

__all__ = ["configure"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# The attributes of every LogRecord; any other came in by `extra=`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


class TextFormatter(logging.Formatter):
    """``2026-11-23 20:01:02.345 INFO sansip.server: message key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a traceback or a stack follows on lines of its own, indented."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        head = f"{stamp}.{int(record.msecs):03d} {record.levelname} {record.name}"
        parts = [f"{head}: {_escape(record.getMessage())}"]
        parts += [f"{name}={_escape(str(value))}" for name, value in _extra(record).items()]
        line = " ".join(parts)
        below = [] if record.exc_info is None else self.formatException(record.exc_info).splitlines()
        if record.stack_info:
            below += record.stack_info.splitlines()
        return line + "".join(f"\n    {_escape(row)}" for row in below)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, then all other attributes."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; the traceback is its key ``exception``."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        # ASCII only: whatever octets a peer sent, the line stays one line.
        return json.dumps(entry, default=str)


def configure(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send all logging of ``level`` and above to ``stream`` (standard error), in ``text`` or ``json``."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # SQLAlchemy writes a traceback of each connection that it cannot reset; the store reports the outage.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    root.setLevel(level.upper())
    # No line shows where in the program it was written, by which thread and process: Python's Logging HOWTO,
    # "Optimization". To find the place out takes longer than all the rest of a line.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
