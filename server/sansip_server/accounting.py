"""The outer half of the module ``accounting``: lines of a file, a Redis stream, and a spool for outages.

Theory of operation: each kind of question has a thread, so that the spool is there while the stream hangs.
"""

from __future__ import annotations

from collections.abc import Mapping

from sansip.modules.accounting import AccountingSettings, Append, Spool, Spooled, Unspool
from sansip_server.parts import Function, Part
from sansip_server.record_lines import RecordLines
from sansip_server.record_spool import RecordSpool, spool_at
from sansip_server.record_stream import RecordStream

__all__ = ["AccountingPart"]


class AccountingPart(Part):
    """Writes records."""

    parallel = 1

    def __init__(self, settings: AccountingSettings) -> None:
        super().__init__(settings)
        self._to: RecordLines | RecordStream
        if settings.to == "stream":
            self._to = RecordStream(settings.queue, settings.stream, settings.stream_most)
        else:
            self._to = RecordLines(settings.file)
        self._spool: RecordSpool | None = None
        self._trouble = ""
        if settings.spool_size:
            self._spool = spool_at(settings.spool or f"{settings.file}.spool", settings.spool_size)
            try:
                self._spool.open()
            except OSError as error:
                # A full disk keeps no server from starting.
                self._trouble = f"no spool: {error}"

    def handlers(self) -> Mapping[type, Function]:
        return {
            Append: self.append,
            Spool: self.spool,
            Spooled: self.spooled,
            Unspool: self.unspool,
        }

    def append(self, question: Append) -> None:
        """Write the lines. Raises ``OSError``; then the module asks again, for all of them."""
        self._to.append(question.lines)

    def spool(self, question: Spool) -> None:
        """Keep the lines on the local disk. Raises ``OSError``."""
        if self._spool is None:
            raise OSError("accounting.spool_size is 0")
        self._spool.put(question.lines)
        self._trouble = ""

    def spooled(self, question: Spooled) -> tuple[str, ...]:
        """Return the lines that the process before could not bring to their place."""
        if self._spool is None:
            return ()
        kept = self._spool.kept
        if kept and isinstance(self._to, RecordLines) and self.settings.to == "lines":
            # It was killed between the write and the note that it was done.
            self._spool.drop(self._to.found(kept))
            kept = self._spool.kept
        return tuple(kept.values())

    def unspool(self, question: Unspool) -> None:
        """These are in their place."""
        if self._spool is not None:
            self._spool.drop(question.names)

    def health(self) -> str:
        return self._trouble

    def figures(self) -> dict[str, float]:
        return {"lines": self._to.written, "spooled": 0 if self._spool is None else len(self._spool)}

    def close(self) -> None:
        self._to.close()
