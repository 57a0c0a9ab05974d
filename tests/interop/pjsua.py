"""What the programs share that are PJSIP: its start without threads, its account, and how they tell a line.

Theory of operation: a program calls ``libHandleEvents`` between two looks at its input, and what PJSIP has to
do is done there.
"""

from __future__ import annotations

import sys

import pjsua2 as pj

__all__ = ["Registering", "account_of", "say", "without_threads"]


class Registering(pj.Account):  # type: ignore[misc]  # pjsua2 has no types
    """Tells how each of its registrations ended: ``registered STATUS``."""

    def onRegState(self, prm: pj.OnRegStateParam) -> None:  # noqa: N802 (the library's name)
        say(f"registered {prm.code}")


def without_threads(host: str, kind: int = pj.PJSIP_TRANSPORT_UDP, authority: str = "") -> pj.Endpoint:
    """Start PJSIP with one transport at ``host``; TLS believes the certificates of ``authority`` alone."""
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
    endpoint.transportCreate(kind, settings)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    return endpoint


def account_of(user: str, domain: str, proxy: str, password: str = "") -> pj.AccountConfig:
    """Return the settings of ``user``, who registers through ``proxy``, a URI."""
    wanted = pj.AccountConfig()
    wanted.idUri = f"sip:{user}@{domain}"
    wanted.regConfig.registrarUri = f"sip:{domain}"
    wanted.sipConfig.proxies.append(proxy)
    if password:
        # Any realm: the one that asks is the server of the test.
        wanted.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, password))
    return wanted


def say(line: str) -> None:
    """Print ``line`` on a line of its own: the log of the library, in the same file, is cut anywhere."""
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()
