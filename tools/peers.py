"""Starts and stops other SIP programs for tests and benchmarks.

Theory of operation: a ``Program`` is a child process whose output goes to a
file, so that it can never block on a full pipe and can be read after it died.
``Program.wait_for`` polls that file for a line. Ports are tried before they are
handed out, a file claims each of them for a minute against other test runs, and all lie below 10,000: sipsak
drops the last digit of longer ones.
Everything stays on loopback.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["PeerError", "Program", "Sipp", "free_port", "kamailio", "kamailio_config", "sansip_serve"]

_ports = itertools.count(5100 + os.getpid() % 400 * 12)


class PeerError(AssertionError):
    """A program did not do its job; the message holds the end of its output."""


def free_port() -> int:
    """Return a port that is free for UDP and TCP on 127.0.0.1 and ::1 at this moment."""
    for candidate in itertools.islice(_ports, 4000):
        port = 5100 + candidate % 4800
        # 5060 to 5099 are left for real servers on this machine.
        if all(_binds(family, kind, port) for family in _FAMILIES for kind in _KINDS) and _claims(port):
            return port
    raise PeerError("no free port between 5100 and 9899")


def _claims(port: int) -> bool:
    """Take ``port`` for a while: several test runs at once look for ports, and bind them later."""
    _CLAIMS.mkdir(exist_ok=True)
    claim = _CLAIMS / str(port)
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        try:
            if time.time() - claim.stat().st_mtime < CLAIMED:
                return False
            os.utime(claim)
        except FileNotFoundError:
            return False
    return True


# Seconds in which the caller binds the port that it asked for.
CLAIMED = 60.0
_CLAIMS = Path(tempfile.gettempdir()) / f"sansip-ports-{os.getuid()}"

_FAMILIES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)


def _binds(family: tuple[socket.AddressFamily, str], kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(family[0], kind) as sock:
        try:
            sock.bind((family[1], port))
        except OSError:
            return False
    return True


class Program:
    """A child process that writes to a log file; a context manager that leaves nothing running.

    ``spoken_to``: it reads the lines that ``say`` writes.
    """

    def __init__(
        self, command: Sequence[str], log: Path, *, cwd: Path | None = None, spoken_to: bool = False
    ) -> None:
        self.command = list(command)
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE if spoken_to else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def say(self, line: str) -> None:
        """Write ``line`` to its input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def wait_for(self, pattern: str, timeout: float = 15.0) -> re.Match[str]:
        """Return the first match of ``pattern`` in the output so far, waiting at most ``timeout`` s."""
        deadline = time.monotonic() + timeout
        while True:
            running = self.process.poll() is None
            match = re.search(pattern, self.output(), re.MULTILINE)
            if match is not None:
                return match
            if not running:
                raise self.failure(
                    f"ended with status {self.process.returncode} before it printed {pattern!r}"
                )
            if time.monotonic() > deadline:
                raise self.failure(f"did not print {pattern!r} in {timeout:g} s")
            time.sleep(0.02)

    def terminate(self) -> None:
        """Ask it to end in order (SIGTERM)."""
        if self.process.poll() is None:
            self.process.terminate()

    def wait(self, timeout: float) -> int:
        """Return the exit status, waiting at most ``timeout`` s."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self.failure(f"still ran after {timeout:g} s") from None

    def stop(self) -> None:
        """End it at once with all its children; harmless when it has ended."""
        # Its session is its own process group, which Kamailio's workers share.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def failure(self, what: str) -> PeerError:
        return PeerError(
            f"{Path(self.command[0]).name} {what}\n{' '.join(self.command)}\n{self.output()[-4000:]}"
        )


def sansip_serve(
    directory: Path,
    listeners: Sequence[str],
    domains: Sequence[str] = (),
    options: Sequence[str] = (),
    prefix: Sequence[str] = (),
    patience: float = 30.0,
) -> Program:
    """Start the installed ``sansip serve`` and return once it said ``ready``, within ``patience`` seconds.

    ``listeners`` are as ``"udp:127.0.0.1:5060"``; ``prefix`` is put before the
    command (``taskset``). Raises PeerError when it does not get ready.
    """
    command = [*prefix, sys.executable, "-m", "sansip_server", "serve"]
    for listener in listeners:
        command += ["--listen", listener]
    for domain in domains:
        command += ["--domain", domain]
    program = Program([*command, *options], directory / "sansip.log", cwd=directory)
    try:
        program.wait_for(r"^ready$", patience)
    except PeerError:
        program.stop()
        raise
    return program


KAMAILIO_MODULES = (
    "tm sl rr pv maxfwd usrloc registrar textops siputils sanity"  # the order in which they need each other
)

KAMAILIO_ROUTE = """
request_route {
  if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (!sanity_check("17895", "7")) exit;
  if (is_method("OPTIONS") && uri==myself && $rU==$null) { sl_send_reply("200", "Keepalive"); exit; }
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); else sl_send_reply("481", "None"); exit; }
  if (has_totag()) {
    if (loose_route()) { t_relay(); exit; }
    if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
    sl_send_reply("404", "Not here"); exit;
  }
  if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
  t_check_trans();
  remove_hf("Route");
  if (is_method("INVITE|SUBSCRIBE")) record_route();
  if (is_method("REGISTER") && uri==myself) { save("location"); exit; }
  if (!(uri==myself)) { sl_send_reply("403", "Relay Forbidden"); exit; }
  if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
  if (!t_relay()) sl_reply_error();
}
"""


def kamailio_config(
    listeners: Sequence[str], domains: Sequence[str], children: int = 1, certificate: Path | None = None
) -> str:
    """Return a configuration that does the same as ``sansip serve`` by default, and no more.

    ``certificate``: with its key, for TLS.
    """
    lines = ["#!KAMAILIO", "debug=1", "log_stderror=yes", f"children={children}", "tcp_children=1"]
    lines += ["auto_aliases=no", "dns=no", "rev_dns=no"]
    lines += [f"listen={listener}" for listener in listeners]
    lines += [f'alias="{domain}"' for domain in domains]
    lines += [f'loadmodule "{module}.so"' for module in KAMAILIO_MODULES.split()]
    if certificate is not None:
        lines += ["enable_tls=yes", 'loadmodule "tls.so"', 'modparam("tls", "tls_method", "TLSv1.2+")']
        lines += [f'modparam("tls", "{name}", "{certificate}")' for name in ("certificate", "private_key")]
    lines += ['modparam("usrloc", "db_mode", 0)', 'modparam("registrar", "max_expires", 3600)']
    return "\n".join(lines) + KAMAILIO_ROUTE


def kamailio(
    directory: Path,
    listeners: Sequence[str],
    domains: Sequence[str] = (),
    options: Sequence[str] = (),
    prefix: Sequence[str] = (),
    text: str | None = None,
) -> Program:
    """Start Kamailio in the foreground for the same job, and return once it answers.

    ``text`` is a configuration for another job; the first of ``listeners`` is UDP still.
    """
    config = directory / "kamailio.cfg"
    config.write_text(kamailio_config(listeners, domains) if text is None else text)
    runtime = directory / "kamailio.run"
    runtime.mkdir(exist_ok=True)
    command = [*prefix, "kamailio", "-f", str(config), "-DD", "-E", "-w", str(runtime), "-Y", str(runtime)]
    command += ["-P", str(runtime / "pid"), "-m", "256", "-M", "32", *options]
    program = Program(command, directory / "kamailio.log")
    host, _, port = listeners[0].partition(":")[2].rpartition(":")
    try:
        _wait_until_it_answers(program, host.strip("[]"), int(port))
    except PeerError:
        program.stop()
        raise
    return program


def _wait_until_it_answers(program: Program, host: str, port: int, timeout: float = 15.0) -> None:
    deadline = time.monotonic() + timeout
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.bind((host, 0))
        shown = f"[{host}]" if ":" in host else host
        request = (
            f"OPTIONS sip:{shown}:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {shown}:{sock.getsockname()[1]};branch=z9hG4bK{time.monotonic_ns()};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:ready@{shown}>;tag=1\r\nTo: <sip:{shown}:{port}>\r\n"
            f"Call-ID: ready-{time.monotonic_ns()}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        while time.monotonic() < deadline:
            if program.process.poll() is not None:
                raise program.failure(f"ended with status {program.process.returncode}")
            try:
                sock.sendto(request, (host, port))
                if sock.recv(65_535).startswith(b"SIP/2.0 "):
                    return
            except OSError:
                time.sleep(0.05)
    raise program.failure(f"did not answer on {host}:{port} in {timeout:g} s")


class Sipp(Program):
    """One SIPp process playing one scenario."""

    def __init__(
        self,
        scenario: Path,
        target: tuple[str, int],
        directory: Path,
        *,
        local: tuple[str, int],
        transport: str = "u1",
        calls: int = 1,
        service: str = "service",
        domain: str = "biloxi.test",
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        self.errors = directory / f"{scenario.stem}-{local[1]}-{time.monotonic_ns()}.errors"
        self.local = local
        self.kind = "tcp" if transport.startswith("t") else "udp"
        host, port = target
        remote = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        command = [*prefix, "sipp", remote, "-sf", str(scenario), "-t", transport, "-m", str(calls)]
        command += ["-i", local[0], "-p", str(local[1]), "-s", service, "-key", "domain", domain]
        command += ["-nostdin", "-trace_err", "-error_file", str(self.errors), *options]
        super().__init__(command, self.errors.with_suffix(".log"), cwd=directory)

    def wait_until_bound(self, timeout: float = 15.0) -> None:
        """Wait until it holds its port (read from /proc: a trial bind could take the port from it)."""
        tables = [Path(f"/proc/net/{self.kind}{family}") for family in ("", "6")]
        wanted = f":{self.local[1]:04X} "
        deadline = time.monotonic() + timeout
        while not any(wanted in line.partition(": ")[2][:40] for table in tables for line in _lines(table)):
            if self.process.poll() is not None:
                raise self.failure(f"ended with status {self.process.returncode} before it bound its port")
            if time.monotonic() > deadline:
                raise self.failure(f"did not bind port {self.local[1]} in {timeout:g} s")
            time.sleep(0.01)

    def succeed(self, timeout: float = 30.0) -> None:
        """Wait for the end; raise PeerError unless every call followed the scenario."""
        status = self.wait(timeout)
        if status != 0:
            said = self.errors.read_text("utf-8", "replace")[:6000] if self.errors.exists() else ""
            raise self.failure(f"ended with status {status}\n{said}")


def _lines(table: Path) -> list[str]:
    return table.read_text().splitlines()[1:] if table.exists() else []
