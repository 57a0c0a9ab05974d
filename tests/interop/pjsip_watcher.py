"""PJSIP as a phone that publishes and watches: ``python -m tests.interop.pjsip_watcher HOST PORT DOMAIN …``.

``… USER PASSWORD [BUDDY]``. It registers, publishes its state, watches its own mailbox and BUDDY, and tells
what happens, a line each: ``registered STATUS``, ``buddy SUBSCRIPTION STATUS ACTIVITY TEXT`` (status: 1
online, 2 offline; activity: 1 away, 2 busy), ``mailbox BODY``. On its input it takes ``online``, ``busy`` and
``offline``, a line each, and ends with it.
"""

from __future__ import annotations

import os
import select
import sys

import pjsua2 as pj

from tests.interop.pjsua import Registering, account_of, say, without_threads


class Buddy(pj.Buddy):  # type: ignore[misc]  # pjsua2 has no types
    """A user that is watched."""

    def onBuddyState(self) -> None:  # noqa: N802 (the library's name)
        info = self.getInfo()
        status = info.presStatus
        say(f"buddy {info.subStateName} {status.status} {status.activity} {status.statusText}")


class Account(Registering):
    """Registers, publishes, watches its mailbox."""

    def onMwiInfo(self, prm: pj.OnMwiInfoParam) -> None:  # noqa: N802 (the library's name)
        body = prm.rdata.wholeMsg.partition("\r\n\r\n")[2]
        say(f"mailbox {' '.join(body.split())}")


def main(host: str, port: str, domain: str, user: str, password: str, buddy: str = "") -> None:
    endpoint = without_threads(host)
    account = Account()
    wanted = account_of(user, domain, f"sip:{host}:{port};lr", password)
    wanted.presConfig.publishEnabled = True
    wanted.mwiConfig.enabled = True
    account.create(wanted)
    watched = Buddy()
    if buddy:
        of = pj.BuddyConfig()
        of.uri = f"sip:{buddy}@{domain}"
        of.subscribe = True
        watched.create(account, of)
    waiting = ""
    while True:
        endpoint.libHandleEvents(20)
        # Not by ``readline``: two lines at once would leave the second where ``select`` does not see it.
        while select.select([0], [], [], 0)[0]:
            data = os.read(0, 4096).decode()
            waiting += data
            if not data:
                os._exit(0)
        while "\n" in waiting:
            line, _, waiting = waiting.partition("\n")
            do(account, line.strip())


def do(account: Account, word: str) -> None:
    """Do what a line of the input says."""
    status = pj.PresenceStatus()
    if word in ("online", "busy"):
        status.status = pj.PJSUA_BUDDY_STATUS_ONLINE
        if word == "busy":
            status.activity = pj.PJRPID_ACTIVITY_BUSY
            status.note = "Busy"
    elif word == "offline":
        status.status = pj.PJSUA_BUDDY_STATUS_OFFLINE
    else:
        # Its own way to end waits for what is lost.
        os._exit(0)
    account.setOnlineStatus(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
