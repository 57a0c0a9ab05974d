"""The helper process: packs a file of rates, and ends. `python -m sansip_server.lcr.packer`.

Theory of operation: a million lines keep an interpreter busy for seconds, and a thread of the server would
hold its lock meanwhile. So this runs beside the server, with less right to the processor. Standard input has
the job as JSON, standard output the result: ``{"digest": …}``, or ``{"faults": […]}``.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sansip.modules.lcr.packing import Packing, TableFault, pack
from sansip.modules.lcr.settings import LcrSettings
from sansip_server.lcr.packed_file import digest_of, locked, read_packed, write_packed
from sansip_server.lcr.zones import clocks_of

__all__ = ["Job", "faults_of", "job_of", "run"]


@dataclass(slots=True)
class Job:
    """A file of rates, where its table goes, and what its lines depend on."""

    file: str
    place: str
    gateways: list[str]
    currency: str
    currencies: list[str]
    zone: str

    @property
    def facts(self) -> Any:
        """What is beside the file's octets in the table's digest."""
        return [1, os.path.basename(self.file), self.gateways, self.currency, self.currencies, self.zone]


def job_of(settings: LcrSettings) -> Job:
    """Return the job that ``settings`` ask for."""
    return Job(
        settings.file,
        settings.packed or f"{settings.file}.packed",
        sorted(one.name for one in settings.gateways),
        settings.currency,
        sorted(settings.currencies),
        settings.zone,
    )


def faults_of(job: Job) -> list[str]:
    """Return the faults of the file of ``job``; nothing is written."""
    try:
        _pack(job)
    except TableFault as fault:
        return str(fault).splitlines()
    except OSError as error:
        return [f"{job.file}: {error.strerror}"]
    return []


def _pack(job: Job) -> list[bytes]:
    packing = Packing(frozenset(job.gateways), job.currency, job.zone, frozenset(job.currencies), clocks_of)
    with open(job.file, encoding="utf-8", newline="") as lines:
        return pack(lines, os.path.basename(job.file), packing)


def run(job: Job) -> dict[str, Any]:
    """Do ``job``; return what standard output gets."""
    file, place = Path(job.file), Path(job.place)
    try:
        with locked(place):
            digest = digest_of(file, job.facts)
            if read_packed(place, digest) is not None:
                # Another worker was first.
                return {"digest": digest.hex()}
            pieces = _pack(job)
            if digest_of(file, job.facts) != digest:
                return {"faults": [f"{file.name} changed while it was read; load it again"]}
            write_packed(place, pieces, digest)
    except TableFault as fault:
        return {"faults": str(fault).splitlines()}
    except (OSError, ValueError) as error:
        return {"faults": [str(error)]}
    return {"digest": digest.hex()}


def main() -> None:
    """Read a job, do it, write the result."""
    os.nice(5)
    # Nothing here is garbage before the end.
    gc.disable()
    print(json.dumps(run(Job(**json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
