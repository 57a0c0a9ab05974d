"""PJSIP as a key with a lamp: ``python -m tests.interop.pjsip_lamp HOST PORT DOMAIN USER PASSWORD WATCHED``.

It registers, subscribes to the dialogs of WATCHED (RFC 4235), and tells what happens, a line each:
``registered STATUS``, ``lamp STATE DIRECTION`` for each state of a dialog that PJSIP read from a NOTIFY. It
ends with its input.

Theory of operation: PJSIP's C library has dialog events, PJSUA2's classes do not: their functions are called
in the library that is loaded already. What it knows of the dialog is asked for after each turn of its loop,
and said where it changed. Without threads no NOTIFY is read between two looks.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys

import pjsua2 as pj

from tests.interop.pjsip import say


class Text(ctypes.Structure):
    """A ``pj_str_t``."""

    _fields_ = (("octets", ctypes.c_void_p), ("size", ctypes.c_ssize_t))

    def __str__(self) -> str:
        return ctypes.string_at(self.octets, self.size).decode() if self.octets and self.size > 0 else ""


class Info(ctypes.Structure):
    """The head of a ``pjsua_buddy_dlg_event_info``, and more room than the rest of it takes."""

    _fields_ = (
        ("id", ctypes.c_int),
        ("texts", Text * 20),
        ("rest", ctypes.c_char * 8_192),
    )


class Account(pj.Account):  # type: ignore[misc]  # pjsua2 has no types
    """Registers."""

    def onRegState(self, prm: pj.OnRegStateParam) -> None:  # noqa: N802 (the library's name)
        say(f"registered {prm.code}")


def main(host: str, port: str, domain: str, user: str, password: str, watched: str) -> None:
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 4
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    endpoint.libInit(config)
    settings = pj.TransportConfig()
    settings.boundAddress = host
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, settings)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    account = Account()
    wanted = pj.AccountConfig()
    wanted.idUri = f"sip:{user}@{domain}"
    wanted.regConfig.registrarUri = f"sip:{domain}"
    wanted.sipConfig.proxies.append(f"sip:{host}:{port};lr")
    wanted.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, password))
    account.create(wanted)
    buddy, of = pj.Buddy(), pj.BuddyConfig()
    of.uri = f"sip:{watched}@{domain}"
    buddy.create(account, of)
    library = ctypes.CDLL(sys.modules["pjsua2._pjsua2"].__file__)
    number = buddy.getId()
    assert library.pjsua_buddy_subscribe_dlg_event(number, 1) == 0
    info, told = Info(), ""
    while True:
        endpoint.libHandleEvents(10)
        assert library.pjsua_buddy_get_dlg_event_info(number, ctypes.byref(info)) == 0
        now = " ".join(f"{n}={t}" for n, t in enumerate(info.texts))
        if now != told:
            told = now
            say(f"lamp {now}")
        if select.select([0], [], [], 0)[0] and not os.read(0, 4096):
            # Its own way to end waits for what is lost.
            os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
