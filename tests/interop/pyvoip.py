"""pyVoIP as a phone: ``python -m tests.interop.pyvoip HOST PORT USER PASSWORD SIP_PORT RTP_PORT``.

Theory of operation: pyVoIP (1.6) has threads of its own, so it is a program of its own. It registers for
10 s at a time, answers every call, and does what standard input says: ``call USER``, ``hangup``,
``stop``. What happens stands on standard output, a line each.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings

import pyVoIP  # The package first: pyVoIP.SIP cannot be imported by itself.
from pyVoIP.VoIP import CallState, VoIPCall, VoIPPhone

EXPIRES = 10


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Phone:
    """One pyVoIP phone, and the one call that it has."""

    def __init__(self, host: str, port: int, user: str, password: str, sip: int, rtp: int) -> None:
        self.call: VoIPCall | None = None
        self.phone = VoIPPhone(
            host,
            port,
            user,
            password,
            myIP=host,
            callCallback=self.called,
            sipPort=sip,
            rtpPortLow=rtp,
            rtpPortHigh=rtp + 20,
        )
        self.phone.sip.default_expires = EXPIRES

    def called(self, call: VoIPCall) -> None:
        say("incoming")
        call.answer()
        self.follow(call)

    def follow(self, call: VoIPCall) -> None:
        """Say each state that the call comes to."""
        self.call, seen = call, None
        while seen is not CallState.ENDED:
            if call.state is not seen:
                seen = call.state
                say(f"call {seen.value}")
            time.sleep(0.02)

    def dial(self, user: str) -> None:
        self.follow(self.phone.call(user))

    def run(self) -> None:
        self.phone.start()
        say(f"status {self.phone.get_status().value}")
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            if command == "call":
                threading.Thread(target=self.dial, args=(argument,), daemon=True).start()
            elif command == "hangup" and self.call is not None:
                self.call.hangup()
            elif command == "stop":
                self.phone.stop()
                say("stopped")
                return


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    pyVoIP.DEBUG = True
    host, port, user, password, sip, rtp = sys.argv[1:]
    Phone(host, int(port), user, password, int(sip), int(rtp)).run()
