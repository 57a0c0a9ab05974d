"""pyOpenSSL as the engine, where it differs from ssl (test_tls.py and test_revocation.py run on both)."""

from __future__ import annotations

import builtins
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from sansip_sockets.openssl_engine import Session
from sansip_sockets.tls import TlsConfig, TlsContexts, TlsError
from tests.adapters.sockets.test_tls import connect
from tests.certificates import Authority


def test_a_session_is_no_garbage(tmp_path: Path) -> None:
    """Idle phones come and go by thousands: what they had must go without the cycle collector."""
    one = Authority(tmp_path)
    server = TlsContexts(TlsConfig(str(one.issue("server.pem", "example.org")), engine="openssl"))
    client = TlsContexts(TlsConfig(authorities=str(one.authority), engine="openssl"))
    gc.collect()
    gc.disable()
    try:
        far, near = connect(server, client)
        assert isinstance(near.tls._session, Session)
        seen = [weakref.ref(end.tls._session._connection) for end in (far, near)]
        del far, near
        assert [one() for one in seen] == [None, None]
    finally:
        gc.enable()


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is told what to install."""
    real = builtins.__import__

    def absent(name: str, *args: Any, **named: Any) -> Any:
        if name == "sansip_sockets.openssl_engine":
            raise ImportError("pip install 'sansip[openssl]'")
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(TlsError, match=r"pip install 'sansip\[openssl\]'"):
        TlsContexts(TlsConfig(engine="openssl"))
