"""sipsak asks whether the server is alive, as monitoring systems do."""

from __future__ import annotations

import subprocess

import pytest

from tests.interop.conftest import Server

pytestmark = pytest.mark.needs("sipsak")


def sipsak(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sipsak", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_options(biloxi: Server) -> None:
    """OPTIONS to the server itself: 200 (RFC 3261 11.2), which sipsak turns into exit status 0."""
    done = sipsak("-v", "-s", f"sip:127.0.0.1:{biloxi.port}")
    assert "200" in done.stdout
    assert done.returncode == 0


def test_register(biloxi: Server) -> None:
    """A REGISTER whose Request-URI is the server's own address, as sipsak writes it."""
    arguments = ["-U", "-C", "sip:sipsak@127.0.0.1:9", "-x", "60", "-H", "127.0.0.1"]
    done = sipsak(*arguments, "-v", "-s", f"sip:sipsak@127.0.0.1:{biloxi.port}")
    assert done.returncode == 0, done.stdout + done.stderr
