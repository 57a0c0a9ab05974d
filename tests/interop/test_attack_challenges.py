"""A carrier with which we have an account, and that does nothing but challenge us: it gets little for it."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from pathlib import Path
from typing import Self

import pytest

from tests.interop.conftest import TARGET
from tests.interop.siege import LOCAL, Siege, request

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="the account is in sansip's configuration")

REALM = "carrier.test"


class Carrier:
    """Answers every request with a 401 or 407 of ``many`` challenges, each with ``long`` octets of opaque.

    The last one is ours to answer, and stale for ever.
    """

    def __init__(self, many: int, long: int) -> None:
        self._many, self._long = many, long
        self.heard: dict[str, int] = {}
        self.octets = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOCAL, 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, source = self._socket.recvfrom(65_535)
                if not data:
                    return
                text = data.decode()
                method = text.partition(" ")[0]
                self.heard[method] = self.heard.get(method, 0) + 1
                self.octets = max(self.octets, len(text))
                if method != "ACK":
                    self._socket.sendto(self._answer(text, method).encode(), source)

    def _answer(self, request: str, method: str) -> str:
        def copied(name: str) -> list[str]:
            return re.findall(rf"(?im)^{name}:.*?(?=\r$)", request)

        status, field = (401, "WWW") if method == "REGISTER" else (407, "Proxy")
        number = sum(self.heard.values())
        more = f', opaque="{"o" * self._long}"' if self._long else ""
        challenge = f'{field}-Authenticate: Digest realm="{{}}", nonce="n{number}", qop="auth", stale=true'
        lines = [f"SIP/2.0 {status} Once More", *copied("via"), *copied("from"), *copied("call-id")]
        lines += [f"{copied('to')[0]};tag=c", *copied("cseq")]
        lines += [challenge.format(f"other-{one}") + more for one in range(self._many)]
        lines += [challenge.format(REALM) + more, "Content-Length: 0", "", ""]
        return "\r\n".join(lines)


@pytest.mark.parametrize(("many", "long"), [(0, 0), (20, 0), (240, 0), (1, 15_000)])
def test_it_is_answered_twice(many: int, long: int, tmp_path: Path) -> None:
    """Registration and relays alike; hundreds of realms, and opaques of 15 KB, are not answered at all."""
    with Carrier(many, long) as carrier:
        config = f"""\
[[upstream]]
hosts = ["{LOCAL}"]
realm = "{REALM}"
username = "trunk"
password_file = "{tmp_path}/password"
register = "sip:trunk@{LOCAL}:{carrier.port}"
"""
        (tmp_path / "password").write_text("secret\n")
        route = tmp_path / "route.py"
        target = f"sip:bob@{LOCAL}:{carrier.port}"
        route.write_text(f"def route(request):\n    request.validate() and request.relay({target!r})\n")
        options = ["--route", str(route)]
        with (
            Siege(tmp_path, config=config, options=options) as siege,
            siege.watched() as watch,
            siege.line("udp") as caller,
        ):
            for _ in range(10):
                caller.send(request("MESSAGE", f"sip:bob@{siege.domain}", caller))
                while (answer := caller.receive()).startswith(b"SIP/2.0 1"):
                    pass
                assert answer.startswith((b"SIP/2.0 500 ", b"SIP/2.0 407 "))
                assert answer.count(b"Proxy-Authenticate") <= 32
        answered = many < 32 and not long
        # Without, then with credentials, and once more for the stale nonce; and a retransmission or two.
        assert carrier.heard["REGISTER"] <= (3 if answered else 1) + 1
        assert carrier.heard["MESSAGE"] <= 10 * (3 if answered else 1) + 2
        assert carrier.octets < 2_000
        assert watch.spent < 2.0
        assert watch.grown < 10_000_000
