"""PJSIP as a key with a lamp: ``python -m tests.interop.pjsip_lamp HOST PORT DOMAIN USER WATCHED``.

It registers, subscribes to the dialogs of WATCHED (RFC 4235), and tells what PJSIP read from each NOTIFY, a
line each: ``registered STATUS``, ``lamp full`` for a document without a dialog, ``lamp STATE DIRECTION LOCAL
REMOTE`` for one with it. It ends with its input.

Theory of operation: PJSIP 2.15 has dialog events in its C library, and not in the classes of PJSUA2: the
functions are called in the library that is loaded already. What it knows is asked for after each turn of its
loop, and said where it changed: without threads no two NOTIFYs are read between two looks.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys

import pjsua2 as pj

from tests.interop.pjsua import Registering, account_of, say, without_threads

# Places of the texts in a ``pjsua_buddy_dlg_event_info``, behind that of the URI.
ID, DOCUMENT, DIRECTION, STATE, LOCAL, REMOTE = 1, 2, 7, 8, 10, 13


class Text(ctypes.Structure):
    """A ``pj_str_t``."""

    _fields_ = (("octets", ctypes.c_void_p), ("size", ctypes.c_ssize_t))

    def __str__(self) -> str:
        return ctypes.string_at(self.octets, self.size).decode() if self.octets and self.size > 0 else ""


class Info(ctypes.Structure):
    """The head of a ``pjsua_buddy_dlg_event_info``, and more room than the rest of it takes."""

    _fields_ = (("id", ctypes.c_int), ("texts", Text * 14), ("rest", ctypes.c_char * 8_192))

    def __str__(self) -> str:
        texts = self.texts
        if not str(texts[ID]):
            return str(texts[DOCUMENT])
        return " ".join(str(texts[place]) for place in (STATE, DIRECTION, LOCAL, REMOTE))


def main(host: str, port: str, domain: str, user: str, watched: str) -> None:
    endpoint = without_threads(host)
    account = Registering()
    account.create(account_of(user, domain, f"sip:{host}:{port};lr"))
    buddy, of = pj.Buddy(), pj.BuddyConfig()
    of.uri = f"sip:{watched}@{domain}"
    buddy.create(account, of)
    library = ctypes.CDLL(sys.modules["pjsua2._pjsua2"].__file__)
    number, info, told = buddy.getId(), Info(), ""
    assert library.pjsua_buddy_subscribe_dlg_event(number, 1) == 0
    while True:
        endpoint.libHandleEvents(10)
        assert library.pjsua_buddy_get_dlg_event_info(number, ctypes.byref(info)) == 0
        if told != (told := str(info)):
            say(f"lamp {told}")
        if select.select([0], [], [], 0)[0] and not os.read(0, 4096):
            # Its own way to end waits for what is lost.
            os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
