"""PJSIP as a phone that stays: ``python -m tests.interop.pjsip_phone HOST PORT TRANSPORT DOMAIN USER …``.

``… [AUTHORITY [PASSWORD]]``; TRANSPORT is tcp or tls. It registers, and again when its
connection is lost; it takes each call, and tells what happens, a line each:
``registered STATUS``, ``confirmed``, ``ended STATUS``. On its input it takes ``call URI`` and
``hangup``, a line each, and ends with it.

Theory of operation: no threads; what the library has to do is done between two looks at
the input.
"""

from __future__ import annotations

import os
import select
import sys

import pjsua2 as pj

from tests.interop.pjsip import say

TRANSPORTS = {"tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}


class Call(pj.Call):  # type: ignore[misc]
    """The one call that there is."""

    def onCallState(self, prm: pj.OnCallStateParam) -> None:  # noqa: N802 (PJSUA2's name)
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            say("confirmed")
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            say(f"ended {info.lastStatusCode}")


class Account(pj.Account):  # type: ignore[misc]
    """Registers, and takes calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def onRegState(self, prm: pj.OnRegStateParam) -> None:  # noqa: N802
        say(f"registered {prm.code}")

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:  # noqa: N802
        call = Call(self, prm.callId)
        self.calls.append(call)
        answer = pj.CallOpParam()
        answer.statusCode = 200
        call.answer(answer)


def main(
    host: str, port: str, transport: str, domain: str, user: str, authority: str = "", password: str = ""
) -> None:
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 4
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    endpoint.libInit(config)
    settings = pj.TransportConfig()
    settings.boundAddress = host
    if authority:
        settings.tlsConfig.CaListFile = authority
        settings.tlsConfig.verifyServer = True
    endpoint.transportCreate(TRANSPORTS[transport], settings)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    account = Account()
    wanted = pj.AccountConfig()
    wanted.idUri = f"sip:{user}@{domain}"
    wanted.regConfig.registrarUri = f"sip:{domain}"
    # It comes back at once, and once a second while nobody answers.
    wanted.regConfig.firstRetryIntervalSec = wanted.regConfig.retryIntervalSec = 1
    wanted.regConfig.randomRetryIntervalSec = 0
    wanted.sipConfig.proxies.append(f"sip:{host}:{port};transport={transport};lr")
    if password:
        wanted.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, password))
    account.create(wanted)
    while True:
        endpoint.libHandleEvents(20)
        while select.select([sys.stdin], [], [], 0)[0]:
            word, _, rest = sys.stdin.readline().strip().partition(" ")
            if word == "call":
                account.calls.append(Call(account))
                account.calls[-1].makeCall(rest, pj.CallOpParam(True))
            elif word == "hangup":
                account.calls[-1].hangup(pj.CallOpParam())
            else:
                # Its own way to end waits for what is lost.
                os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
