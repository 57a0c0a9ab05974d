"""A phone that has media: SIP over one UDP socket, RTP over sockets of its own, nothing of ours in it.

Theory of operation: it registers, calls, answers, holds and hangs up when the test says so, and each medium
sends a packet every 20 ms from a thread and counts those that come, by their SSRC. Its description has audio
and, where wanted, H.264 video (RFC 6184).
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter

from tests.interop.phone import Phone
from tests.interop.rtpengine import rtp

__all__ = ["MediaPhone", "Medium"]

AUDIO = "m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
VIDEO = (
    "m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\na=rtcp-fb:96 nack pli\r\n"
)


class Medium:
    """One stream: a socket that sends to ``remote`` every 20 ms, and counts what comes."""

    def __init__(self, host: str, ssrc: int, payload: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(0.02)
        self.ssrc = ssrc
        self._payload = payload
        self.port: int = self._socket.getsockname()[1]
        self.remote: tuple[str, int] | None = None
        self.heard: Counter[int] = Counter()
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over = True
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        sequence, due = 0, time.monotonic()
        content = b"\xff" * 160 if self._payload == 0 else b"\x67\x42\xe0\x1f" + bytes(600)
        while not self._over:
            try:
                data = self._socket.recv(2_048)
                if len(data) >= 12:
                    self.heard[int.from_bytes(data[8:12], "big")] += 1
            except OSError:
                # Nothing came, or what was sent reached nobody yet.
                pass
            if self.remote is not None and time.monotonic() >= due:
                due = time.monotonic() + 0.02
                sequence += 1
                try:
                    self._socket.sendto(
                        rtp(sequence, self.ssrc, payload=self._payload, content=content), self.remote
                    )
                except OSError:
                    pass

    def wait(self, count: int, ssrc: int, seconds: float = 8.0) -> None:
        """Wait until so many packets of ``ssrc`` have come."""
        deadline = time.monotonic() + seconds
        while self.heard[ssrc] < count:
            assert time.monotonic() < deadline, (
                f"{self.heard[ssrc]} of {count} packets of {ssrc:x}, {self.heard}"
            )
            time.sleep(0.02)


class MediaPhone(Phone):
    """A phone with audio, and video where wanted. ``host``: where its media is."""

    def __init__(
        self,
        user: str,
        domain: str,
        server: tuple[str, int],
        *,
        host: str = "127.0.0.1",
        video: bool = False,
        transport: str = "udp",
    ) -> None:
        super().__init__(user, domain, transport, server, source=(host, 0))
        self.host = host
        base = sum(map(ord, user)) << 8 | len(user)
        self.audio = Medium(host, base, 0)
        self.video = Medium(host, base | 0x80000000, 96) if video else None
        self._version = 1
        self._call: dict[str, str] = {}

    def __exit__(self, *_: object) -> None:
        for one in (self.audio, self.video):
            if one is not None:
                one.close()
        super().__exit__(*_)

    def go_on(self, before: MediaPhone) -> None:
        """Be the phone ``before``, which has got another address, in its dialog."""
        self._call_id, self._cseq, self._version = before._call_id, before._cseq, before._version
        self._local, self._remote, self._target = before._local, before._remote, before._target
        self._routes = before._routes
        self._register_id = before._register_id

    def sdp(self, direction: str = "sendrecv") -> str:
        """Return its description."""
        family = "IP6" if ":" in self.host else "IP4"
        self._version += 1
        text = f"v=0\r\no=- 1 {self._version} IN {family} {self.host}\r\ns=-\r\n"
        text += f"c=IN {family} {self.host}\r\nt=0 0\r\n"
        text += AUDIO.format(port=self.audio.port)
        if self.video is not None:
            text += VIDEO.format(port=self.video.port)
        return text + (f"a={direction}\r\n" if direction != "sendrecv" else "")

    def listen_to(self, sdp: str) -> None:
        """Send media to where ``sdp`` says."""
        address = re.search(r"c=IN IP[46] (\S+)", sdp)
        assert address is not None, sdp
        for kind, medium in (("audio", self.audio), ("video", self.video)):
            port = re.search(rf"m={kind} (\d+)", sdp)
            if medium is not None and port is not None and int(port[1]):
                medium.remote = (address[1], int(port[1]))
