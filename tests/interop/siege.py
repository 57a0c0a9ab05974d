"""An attack on a running server, while an honest client asks for OPTIONS every 20 ms.

Theory of operation: ``Siege`` is the installed ``sansip serve`` with one UDP, one TCP and one WebSocket
listener on loopback, and the options and configuration that the attack needs. ``line(transport)`` is a
connection for the attacker, or for an honest phone's octets (``Phone`` takes ``address(transport)``).
Around the attack stands ``watched()``: it starts the honest client and, at the end, fails where an OPTIONS
was lost or waited longer than ``WORST``. That is 50 ms under ``SANSIP_HOSTILE=1``, for a quiet machine;
elsewhere it is 1 s, for processors are shared there. What the attack cost the server itself, in seconds of
its processor, is ``spent``, which other programs do not change: assert on that.

    with Siege(tmp_path) as siege, siege.watched() as watch:
        with siege.line("udp") as stranger:
            stranger.send(request(...))
            assert stranger.received() == []
    assert watch.spent < 0.5
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

from benchmarks.connections import resident
from tests.interop.conftest import OPTIONS
from tests.interop.line import Line
from tests.interop.users import add_users
from tools import peers

__all__ = ["LOCAL", "STREAMS", "TRANSPORTS", "WORST", "Siege", "Watch", "request", "watched"]

LOCAL = "127.0.0.1"
STREAMS = ("tcp", "ws")
TRANSPORTS = ("udp", *STREAMS)
STRICT = bool(os.environ.get("SANSIP_HOSTILE"))
# Seconds that an OPTIONS may wait.
WORST = 0.05 if STRICT else 1.0
# Seconds that the honest client goes on after the attack.
AFTER = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Watch:
    """The measurements of the honest client, once its block has ended.

    Attributes:
        sent, lost: OPTIONS, and those without an answer.
        worst, median: seconds that one waited.
        spent: seconds of processor time that the server used in the block, the honest client's included
            (about 0.2 ms a request).
        grown: octets by which its resident memory grew in the block.
    """

    sent: int = 0
    lost: int = 0
    worst: float = 0.0
    median: float = 0.0
    spent: float = 0.0
    grown: int = 0


class Siege:
    """A server to attack. ``domain`` is its own; ``options`` and the TOML text ``config`` are added.

    With ``transports=("udp",)`` it runs on what `sansip serve` takes for UDP alone, the blocking runtime.

    ``users`` has a password for each ``user@domain``; with it the server asks for passwords
    (``--auth digest`` and a SQLite store). ``ports``: where to listen, for a restart in the same place.
    """

    def __init__(
        self,
        directory: Path,
        *,
        domain: str = "siege.test",
        options: Sequence[str] = (),
        config: str = "",
        users: Mapping[str, str] | None = None,
        transports: Sequence[str] = TRANSPORTS,
        ports: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.directory = directory
        self.domain = domain
        self._ports = {name: ports.get(name) or peers.free_port() for name in transports}
        extra = [*OPTIONS, *options]
        if config:
            path = directory / "siege.toml"
            path.write_text(config)
            extra += ["--config", str(path)]
        if users:
            store = directory / "siege.db"
            add_users(store, users)
            extra += ["--auth", "digest", "--store", str(store)]
        listeners = [f"{transport}:{LOCAL}:{port}" for transport, port in self._ports.items()]
        self.program = peers.sansip_serve(directory, listeners, [domain], extra)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        log = self.program.output()
        self.program.stop()
        assert "Traceback" not in log, log

    @property
    def log(self) -> str:
        """The text that the server printed so far."""
        return self.program.output()

    def address(self, transport: str) -> tuple[str, int]:
        """Where it listens for ``transport``."""
        return LOCAL, self._ports[transport]

    def line(self, transport: str, *, source: tuple[str, int] | None = None) -> Line:
        """Return a connection to it; ``source`` as in ``("127.0.0.2", 0)``, a stranger's address."""
        return Line(transport, self.address(transport), name="attacker", source=source)

    @property
    def spent(self) -> float:
        """Seconds of processor time that the server has used."""
        return spent_by(self.program)

    @property
    def resident(self) -> int:
        """Octets of memory that it holds."""
        return resident(self.program)

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Have an honest client ask while the block runs; fail where it was not served."""
        with watched(self.program, self.address("udp"), self.directory) as watch:
            yield watch


def spent_by(program: peers.Program) -> float:
    """Return the seconds of processor time that ``program`` has used."""
    fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def watched(program: peers.Program, server: tuple[str, int], directory: Path) -> Iterator[Watch]:
    """Have an honest client ask ``server``, which is ``program``, while the block runs."""
    watch = Watch()
    command = [sys.executable, "-m", "tests.interop.prober", server[0], str(server[1])]
    root = Path(__file__).parents[2]
    log = directory / f"prober-{time.monotonic_ns()}.log"
    with peers.Program(command, log, cwd=root) as prober:
        prober.wait_for("^probing$")
        spent, memory = spent_by(program), resident(program)
        yield watch
        # The work that the attack left counts, too.
        time.sleep(AFTER)
        watch.spent, watch.grown = spent_by(program) - spent, resident(program) - memory
        prober.terminate()
        seen = json.loads(prober.wait_for(r"^\{.*\}$")[0])
    watch.sent, watch.lost = seen["sent"], seen["lost"]
    watch.worst, watch.median = seen["worst"], seen["median"]
    sys.stdout.write(f"honest client: {watch}\n")
    said = program.output()[-4000:]
    assert watch.lost == 0, f"{watch.lost} of {watch.sent} OPTIONS had no answer\n{said}"
    assert watch.worst <= WORST, f"an OPTIONS waited {watch.worst:.3f} s\n{said}"


def request(
    method: str,
    uri: str,
    line: Line,
    *,
    from_: str = "<sip:mallory@elsewhere.example>;tag=m",
    to: str | None = None,
    call_id: str = "",
    cseq: int = 1,
    branch: str = "",
    lines: Sequence[str] = (),
    body: str = "",
) -> bytes:
    """Return the octets of a request that ``line`` sends.

    ``lines`` are whole header lines, without line ends; ``to`` is the Request-URI by default.
    """
    unique = time.monotonic_ns()
    head = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/{line.transport.upper()} {line.sent_by};branch={branch or f'z9hG4bK{unique}'};rport",
        "Max-Forwards: 70",
        f"From: {from_}",
        f"To: {f'<{uri}>' if to is None else to}",
        f"Call-ID: {call_id or f'siege-{unique}'}",
        f"CSeq: {cseq} {method}",
        *lines,
        f"Content-Length: {len(body.encode())}",
    ]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()
