"""A baresip phone without a sound card, steered over its control socket.

Theory of operation: baresip's ``ctrl_tcp`` module speaks JSON in netstrings. Commands
are answered with ``"response": true``; what happens arrives as ``"event": true`` in the
meantime. A file is the microphone, ``aubridge`` the loudspeaker, and loopback the network; the
configuration lives in a directory of the test.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
import wave
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.interop.homes import inside
from tools.peers import PeerError, Program, free_port

__all__ = ["Baresip"]

CONFIG = """\
poll_method epoll
sip_listen {address}:{sip}
net_interface {address}
call_max_calls 4
audio_source aufile,{tone}
audio_player aubridge,{user}
audio_alert aubridge,{user}-alert
rtp_ports {rtp}-{rtp_end}
ctrl_tcp_listen 127.0.0.1:{control}
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module stun.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app contact.so
module_app ctrl_tcp.so
"""


def module_path() -> Path:
    """Return where Debian keeps baresip's modules (it differs between releases)."""
    for candidate in Path("/usr/lib").glob("**/baresip/modules"):
        return candidate
    raise PeerError("baresip is installed without its modules (package baresip-core)")


def write_tone(path: Path) -> None:
    """Write ten seconds of 400 Hz, as PCMU's own rate wants it: 8,000 samples of 16 bits a second."""
    period = [round(8_000 * math.sin(math.tau * n / 20)) for n in range(20)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(struct.pack("<20h", *period) * 4_000)


class Baresip:
    """A registered phone for ``sip:user@domain``, all of whose requests go through ``server``."""

    def __init__(
        self,
        directory: Path,
        user: str,
        domain: str,
        server: tuple[str, int],
        transport: str,
        password: str = "unused",
        *,
        home: str | None = None,
        address: str = "127.0.0.1",
        account: str = "",
        modules: str = "",
        contacts: str = "",
    ) -> None:
        """``home`` is a network namespace, ``address`` the phone's in it; ``account`` are more parameters.

        ``modules`` are more lines of the configuration, ``contacts`` those of the file of contacts.
        """
        directory.mkdir()
        self.aor = f"sip:{user}@{domain}"
        # baresip takes the port after its SIP port for TLS.
        control, rtp = free_port(), 20_000 + 100 * (free_port() % 300)
        tone = directory / "tone.wav"
        write_tone(tone)
        ports = {"sip": free_port(), "control": control, "rtp": rtp, "rtp_end": rtp + 98}
        settings = CONFIG.format(user=user, tone=tone, modules=module_path(), address=address, **ports)
        (directory / "config").write_text(settings + modules)
        who = (
            f'<{self.aor};transport={transport}>;outbound="sip:{server[0]}:{server[1]};transport={transport}"'
        )
        (directory / "accounts").write_text(
            f"{who};auth_pass={password};regint=60;audio_codecs=PCMU{account}\n"
        )
        (directory / "contacts").write_text(contacts)
        command = ["baresip", "-4", "-v", "-f", str(directory)]
        if home is not None:
            command = ["ip", "netns", "exec", home, *command]
        self.program = Program(command, directory / "baresip.log")
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        try:
            self.program.wait_for("baresip is ready")
            with nullcontext() if home is None else inside(home):
                self._control = socket.create_connection(("127.0.0.1", control), timeout=5)
        except BaseException:
            self.program.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        self.program.stop()

    def command(self, command: str, params: str = "") -> dict[str, Any]:
        """Give a command as on baresip's prompt; return its answer, which must say that it went well."""
        text = json.dumps({"command": command, "params": params, "token": command})
        self._control.sendall(f"{len(text)}:{text},".encode())
        answer = self._next(lambda item: "response" in item, 5.0, f"an answer to {command}")
        if not answer["ok"]:
            raise self.program.failure(f"refused {command} {params}: {answer['data']}")
        return answer

    def wait_until_registered(self) -> None:
        """Wait for the 200 to its REGISTER, which may have come before anybody could listen for events."""
        self.program.wait_for(r"200 OK .*\[1 binding\]")

    def call(self, other: Baresip) -> None:
        """Call ``other``, who accepts; both talk then."""
        self.command("dial", other.aor)
        other.wait_for("CALL_INCOMING")
        other.command("accept")
        for phone in (self, other):
            phone.wait_for("CALL_ESTABLISHED")

    def wait_for(self, event: str, timeout: float = 10.0) -> dict[str, Any]:
        """Return the first event of type ``event`` (as ``CALL_ESTABLISHED``) not returned before."""
        return self._next(lambda item: item.get("type") == event, timeout, event)

    def _next(self, wanted: Any, timeout: float, what: str) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while True:
            for index, item in enumerate(self._events):
                if wanted(item):
                    return self._events.pop(index)
            self._control.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self._control.recv(65_536)
            except TimeoutError:
                data = b""
            if not data:
                seen = [item.get("type", item) for item in self._events]
                raise self.program.failure(f"told of no {what} in {timeout:g} s, but of {seen}")
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._buffer += data
        while True:
            length, colon, rest = self._buffer.partition(b":")
            if not colon or len(rest) <= int(length):
                return
            self._events.append(json.loads(rest[: int(length)]))
            self._buffer = rest[int(length) + 1 :]
