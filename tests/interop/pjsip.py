"""PJSIP as a phone: ``python -m tests.interop.pjsip HOST PORT DOMAIN USER PASSWORD [CALLEE]``.

Theory of operation: PJSUA2 brings threads of its own, so it is a program of its own. It
registers, prints the status, places a call if it is told to, prints how that was
answered, and ends.
"""

from __future__ import annotations

import os
import sys
import time

import pjsua2 as pj

from tests.interop.pjsua import account_of, say

PATIENCE = 15.0


class Account(pj.Account):  # type: ignore[misc]  # pjsua2 has no types
    """Remembers how its registration ended."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 0

    def onRegState(self, prm: pj.OnRegStateParam) -> None:  # noqa: N802 (the library's name)
        self.status = int(prm.code)


class Call(pj.Call):  # type: ignore[misc]  # pjsua2 has no types
    """Remembers how the call ended, or that it stands (200)."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.status = 0

    def onCallState(self, prm: pj.OnCallStateParam) -> None:  # noqa: N802 (the library's name)
        info = self.getInfo()
        if info.state in (pj.PJSIP_INV_STATE_CONFIRMED, pj.PJSIP_INV_STATE_DISCONNECTED):
            self.status = self.status or int(info.lastStatusCode)


def main(host: str, port: str, domain: str, user: str, password: str, callee: str = "") -> None:
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 3
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.boundAddress = host
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    account = Account()
    account.create(account_of(user, domain, f"sip:{host}:{port};lr", password))
    say(f"registration {wait_for(account)}")
    if callee and account.status == 200:
        call = Call(account)
        call.makeCall(f"sip:{callee}@{domain}", pj.CallOpParam(True))
        say(f"call {wait_for(call)}")
    # Its own way to end waits for threads, and trips over calls that are over.
    os._exit(0)


def wait_for(one: Account | Call) -> int:
    """Return the status of its end, 0 where there was none in time."""
    end = time.monotonic() + PATIENCE
    while not one.status and time.monotonic() < end:
        time.sleep(0.02)
    return one.status


if __name__ == "__main__":
    main(*sys.argv[1:])
