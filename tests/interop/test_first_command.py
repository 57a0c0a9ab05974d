"""The first commands of docs/authentication.md do what the page says, as they stand but for the address."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.users import ask
from tools.peers import Program, free_port

PAGE = Path(__file__).parents[2] / "docs" / "authentication.md"

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="the commands are sansip's")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1"])
def test_users_at_an_address(address: str, tmp_path: Path) -> None:
    """Two users, one server, no domain: a phone that is given the address registers with its password."""
    port = free_port()
    block = re.search(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert block is not None
    shown = f"[{address}]" if ":" in address else address
    text = block[1].replace("192.168.1.10:5060", f"{shown}:{port}").replace("192.168.1.10", shown)
    *adds, serve = [shlex.split(line)[1:] for line in text.splitlines()]
    assert [words[:2] for words in adds] == [["user", "add"]] * 2
    sansip = [sys.executable, "-m", "sansip_server"]
    for words in adds:
        done = subprocess.run(
            [*sansip, *words], cwd=tmp_path, input="wonderland\n", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    with Program([*sansip, *serve], tmp_path / "sansip.log", cwd=tmp_path) as program:
        program.wait_for("^ready$")
        for transport in ("udp", "tcp"):
            with Phone("alice", shown, transport, (address, port)) as alice:
                contact = [f"Contact: {alice.contact}", "Expires: 60"]
                assert ask(alice, "REGISTER", f"sip:{shown}", "wonderland", contact).what == "200"
                assert ask(alice, "REGISTER", f"sip:{shown}", "guess", contact).what == "401"
        assert "nobody can register" not in program.output()
