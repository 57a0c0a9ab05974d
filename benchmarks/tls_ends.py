"""TLS around SIPp, which Debian builds without it: HAProxy speaks TLS to the server in its place.

Theory of operation: callers connect to a port of HAProxy, which connects to the server by TLS; callees have a
port of HAProxy that takes TLS, which is where their Contact says that they are. HAProxy runs on SIPp's core,
so only the server's part of TLS is in the figures. The scenarios are copied with that port, and with TLS in
Via, so that the server sees what it would of phones on TLS.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.certificates import Authority
from tools.peers import Program, free_port

__all__ = ["TlsEnds"]

_CONFIG = """global
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen callers
  bind {host}:{near}
  server proxy {host}:{server} ssl verify none
"""
_CALLEE = """listen callee{number}
  bind {host}:{front} ssl crt {certificate}
  server sipp {host}:{port}
"""


class TlsEnds:
    """The ports of HAProxy around the SIPp processes of one run.

    Attributes:
        certificate: of the server and of the callees, with its key.
        near: the port that callers connect to.
        fronts: the ports that callees are reached at, one for each of the ``ports`` that they listen on.
    """

    def __init__(self, directory: Path, host: str, domain: str) -> None:
        self._directory = directory
        self._host = host
        self.certificate = Authority(directory).issue("server.pem", domain, host)
        self.near = free_port()
        self.fronts: list[int] = []

    @property
    def table(self) -> str:
        """The table of ``sansip serve`` for this: its certificate, and those of callees are not checked."""
        return f'\n[tls]\ncertificate = "{self.certificate}"\nverify_servers = false\n'

    def start(self, server: int, ports: Sequence[int], prefix: Sequence[str]) -> Program:
        """Start HAProxy in front of ``server`` and of callees at ``ports``, and return once it listens."""
        text = _CONFIG.format(host=self._host, near=self.near, server=server)
        self.fronts = [free_port() for _ in ports]
        for number, (front, port) in enumerate(zip(self.fronts, ports, strict=True)):
            text += _CALLEE.format(
                number=number, host=self._host, front=front, certificate=self.certificate, port=port
            )
        config = self._directory / "haproxy.cfg"
        config.write_text(text)
        program = Program([*prefix, "haproxy", "-db", "-f", str(config)], self._directory / "haproxy.log")
        deadline = time.monotonic() + 10
        # A connection would be one to the server.
        while f":{self.near:04X} " not in Path("/proc/net/tcp").read_text():
            if program.process.poll() is not None or time.monotonic() > deadline:
                raise program.failure("does not listen")
            time.sleep(0.02)
        return program

    def scenario(self, scenario: Path, front: int | None) -> Path:
        """Return a copy of ``scenario`` over TLS, whose Contact has the port ``front``."""
        text = scenario.read_text().replace("[transport]", "TLS")
        if front is not None:
            text = text.replace("@[local_ip]:[local_port];transport", f"@[local_ip]:{front};transport")
        copy = self._directory / (scenario.name if front is None else f"{scenario.stem}{front}.xml")
        copy.write_text(text)
        return copy
