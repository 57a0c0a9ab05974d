"""SCTP (RFC 4168) on a kernel that has it: every pair with another transport, real peers, hard messages.

Most kernels at hand have none: ``tox -e sctp`` runs this file inside user-mode
Linux (``tools/sctp``), and elsewhere it is skipped.
"""

from __future__ import annotations

import itertools
import socket
import sys
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sansip_sockets import sctp
from tests.interop.test_matrix import HOSTS, RUNTIMES, TRANSPORTS, Matrix
from tests.missing import missing


def _has_sctp() -> bool:
    try:
        sctp.open_socket(socket.AF_INET).close()
    except OSError:
        return False
    return True


# Not `missing`: CI's machines have no SCTP either, and run this file by tools/sctp.
pytestmark = pytest.mark.skipif(not _has_sctp(), reason="the kernel has no SCTP; run tox -e sctp")

WITH_SCTP = (*TRANSPORTS, "sctp")
KINDS = [f"{transport}{family}" for family in HOSTS for transport in WITH_SCTP]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_pair(runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SCTP with each of the six, both ways and on both families."""
    if runtime not in {point.name for point in entry_points(group="sansip.runtimes")}:
        missing(f"runtime {runtime} is not installed")
    pairs = [pair for pair in itertools.product(KINDS, KINDS) if any("sctp" in kind for kind in pair)]
    with ExitStack() as stack:
        matrix = Matrix(tmp_path, runtime, stack, WITH_SCTP)
        table, faults = matrix.call_all(pairs, runtime)
        with capsys.disabled():
            sys.stdout.write(table)
        assert not faults, "\n".join([*faults, matrix.server.output()])
        assert "Traceback" not in matrix.server.output()
