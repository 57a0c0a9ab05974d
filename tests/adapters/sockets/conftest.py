"""Both engines of TLS, for the tests that hold for each."""

from __future__ import annotations

from typing import Any

import pytest

from sansip_sockets.tls import TlsConfig


@pytest.fixture(params=["python", "openssl"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test runs on both engines: they have one contract."""
    made = TlsConfig.__init__

    def init(self: TlsConfig, *args: Any, **settings: Any) -> None:
        made(self, *args, **{"engine": request.param, **settings})

    monkeypatch.setattr(TlsConfig, "__init__", init)
    return str(request.param)
