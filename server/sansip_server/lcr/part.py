"""The outer half of the module ``lcr``: has files of rates packed, and maps them.

Theory of operation: a thread waits for the helper process, so no call waits for it. The first table is there
before the server is ready, and a file with faults keeps it from starting, as any other fault of the
configuration does. The last good table stays until the next one is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from sansip.modules.lcr.events import FindZone, LoadRates
from sansip.modules.lcr.packed import PackedRates
from sansip.modules.lcr.settings import LcrSettings
from sansip_server.lcr.packed_file import digest_of, read_packed
from sansip_server.lcr.packer import faults_of, job_of
from sansip_server.lcr.zones import clocks_of
from sansip_server.parts import Function, Part

__all__ = ["LcrPart"]

# Seconds that a question waits for a table; then the module asks again.
_PATIENCE = 4.0
# Seconds after which a helper process is given up.
_LONGEST = 600.0


class LcrPart(Part):
    """Answers with packed rates, and with the clocks of time zones."""

    # Workers map the same file, so its memory is there once.
    each = True

    def __init__(self, settings: LcrSettings) -> None:
        super().__init__(settings)
        self._job = job_of(settings)
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._running = False
        self._table: PackedRates | None = None
        self._fault = ""
        self._helper: subprocess.Popen[str] | None = None
        if settings.zone != "UTC":
            clocks_of(settings.zone)
        if settings.file:
            self._table = self._read()

    @classmethod
    def faults(cls, settings: LcrSettings) -> list[str]:
        """Return the faults of the file of rates, and of the time zone."""
        try:
            clocks_of(settings.zone)
        except ValueError as error:
            return [f"zone: {error}"]
        return faults_of(job_of(settings)) if settings.file else []

    @classmethod
    def prepare(cls, settings: LcrSettings) -> None:
        """Have the file packed once for all workers."""
        cls(settings).close()

    def handlers(self) -> Mapping[type, Function]:
        return {LoadRates: self.load, FindZone: self.zone}

    def zone(self, question: FindZone) -> tuple[tuple[int, int], ...]:
        """Return when the clocks of a zone change."""
        return clocks_of(question.name)

    def load(self, question: LoadRates) -> PackedRates | None:
        """Return the rates, or None while they are being packed. ``ValueError``: faults of the file."""
        with self._lock:
            if question.anew and not self._running:
                self._running, self._fault = True, ""
                self._done.clear()
                threading.Thread(target=self._work, name="sansip-lcr", daemon=True).start()
            waits = self._running
        if waits and not self._done.wait(_PATIENCE):
            return None
        with self._lock:
            if self._fault:
                raise ValueError(self._fault)
            return self._table

    def _work(self) -> None:
        table, fault = None, ""
        try:
            table = self._read()
        except Exception as error:
            fault = str(error)
        with self._lock:
            self._table = table or self._table
            self._fault, self._running = fault, False
        self._done.set()

    def _read(self) -> PackedRates:
        """Return the table of the file as it is now. Raises ``ValueError`` that names each fault."""
        job = self._job
        try:
            digest = digest_of(Path(job.file), job.facts)
        except OSError as error:
            raise ValueError(f"{job.file}: {error.strerror}; lcr.file names the rates") from None
        table = read_packed(Path(job.place), digest)
        if table is not None:
            return table
        said = self._have_packed()
        if "faults" in said:
            raise ValueError("\n".join(said["faults"]))
        table = read_packed(Path(job.place), bytes.fromhex(str(said["digest"])))
        if table is None:
            raise ValueError(f"{job.place} was replaced by another process; load the rates again")
        return table

    def _have_packed(self) -> dict[str, list[str] | str]:
        command = [sys.executable, "-m", "sansip_server.lcr.packer"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as helper:
            self._helper = helper
            try:
                said, complaint = helper.communicate(json.dumps(asdict(self._job)), _LONGEST)
            except subprocess.TimeoutExpired:
                helper.kill()
                raise ValueError(f"{self._job.file} was not packed within {_LONGEST:.0f} s") from None
            finally:
                self._helper = None
        if helper.returncode:
            last = (complaint.strip().splitlines() or ["it said nothing"])[-1]
            raise ValueError(f"the process that packs rates ended with {helper.returncode}: {last:.300}")
        found: dict[str, list[str] | str] = json.loads(said)
        return found

    def figures(self) -> dict[str, float]:
        table = self._table
        return {} if table is None else {"octets": float(len(table.data))}

    def close(self) -> None:
        helper = self._helper
        if helper is not None:
            helper.kill()
