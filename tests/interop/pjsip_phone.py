"""PJSIP as a phone that stays: ``python -m tests.interop.pjsip_phone HOST PORT TRANSPORT DOMAIN USER …``.

``… [AUTHORITY [PASSWORD]]``; TRANSPORT is udp, tcp or tls. It registers, and again when its
connection is lost; it takes each call, and tells what happens, a line each:
``registered STATUS``, ``confirmed``, ``ended STATUS``, ``transfer STATUS``, ``asked URI`` (to call
there), ``replaced``, ``message TEXT``, ``media STATE`` (of its audio: 1 active, 2 held here, 3 held
there). On its input it takes ``call URI``, ``hold``, ``resume``, ``transfer URI``, ``join`` (the party of
the last call but one talks to that of the last) and ``hangup``, a line each, and ends with it.

Theory of operation: no threads; what the library has to do is done between two looks at
the input.
"""

from __future__ import annotations

import os
import select
import sys

import pjsua2 as pj

from tests.interop.pjsua import Registering, account_of, say, without_threads

TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}


class Call(pj.Call):  # type: ignore[misc]  # pjsua2 has no types
    """One call."""

    def __init__(self, account: Account, number: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, number)
        self.account = account

    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:  # noqa: N802 (the library's name)
        # Its own way to call there waits for ever where no thread of its own runs: the user does it.
        prm.statusCode = pj.PJSIP_SC_DECLINE
        say(f"asked {prm.dstUri}")

    def onCallTransferStatus(self, prm: pj.OnCallTransferStatusParam) -> None:  # noqa: N802 (the library's name)
        say(f"transfer {prm.statusCode}")

    def onCallReplaced(self, prm: pj.OnCallReplacedParam) -> None:  # noqa: N802 (the library's name)
        say("replaced")

    def onCallState(self, prm: pj.OnCallStateParam) -> None:  # noqa: N802 (PJSUA2's name)
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            say("confirmed")
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            say(f"ended {info.lastStatusCode}")

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:  # noqa: N802 (the library's name)
        # Held as long as its parts are read: they are no objects of their own.
        info = self.getInfo()
        media = info.media
        say(f"media {media[0].status}")


class Account(Registering):
    """Registers, and takes calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def onInstantMessage(self, prm: pj.OnInstantMessageParam) -> None:  # noqa: N802 (the library's name)
        say(f"message {prm.msgBody}")

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:  # noqa: N802 (the library's name)
        call = Call(self, prm.callId)
        self.calls.append(call)
        answer = pj.CallOpParam()
        answer.statusCode = 200
        call.answer(answer)


def main(
    host: str, port: str, transport: str, domain: str, user: str, authority: str = "", password: str = ""
) -> None:
    endpoint = without_threads(host, TRANSPORTS[transport], authority)
    account = Account()
    wanted = account_of(user, domain, f"sip:{host}:{port};transport={transport};lr", password)
    # It comes back at once, and once a second without an answer.
    wanted.regConfig.firstRetryIntervalSec = wanted.regConfig.retryIntervalSec = 1
    wanted.regConfig.randomRetryIntervalSec = 0
    account.create(wanted)
    waiting: list[str] = []
    while True:
        endpoint.libHandleEvents(20)
        while select.select([sys.stdin], [], [], 0)[0]:
            waiting.append(sys.stdin.readline().strip())
        try:
            while waiting:
                do(account, *waiting[0].partition(" ")[::2])
                del waiting[0]
        except pj.Error:
            # A re-INVITE is under way: once more in a moment, unless the call is over.
            if not (account.calls and account.calls[-1].isActive()):
                del waiting[0]


def do(account: Account, word: str, rest: str) -> None:
    """Do what a line of the input says."""
    calls = account.calls
    if word == "call":
        calls.append(Call(account))
        calls[-1].makeCall(rest, pj.CallOpParam(True))
    elif word == "hangup":
        calls[-1].hangup(pj.CallOpParam())
    elif word == "hold":
        calls[-1].setHold(pj.CallOpParam(True))
    elif word == "resume":
        settings = pj.CallOpParam(True)
        settings.opt.flag = pj.PJSUA_CALL_UNHOLD
        calls[-1].reinvite(settings)
    elif word == "transfer":
        calls[-1].xfer(rest, pj.CallOpParam(True))
    elif word == "join":
        calls[-2].xferReplaces(calls[-1], pj.CallOpParam(True))
    else:
        # Its own way to end waits for what is lost.
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
