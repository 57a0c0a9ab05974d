"""The relay as a module: its contract and its commands."""

from __future__ import annotations

from sansip.modules.msrp import Msrp, MsrpSettings
from sansip.testing import check_module
from tests.modules.msrp.relayed import TEXT, made, pair


def test_contract() -> None:
    """What every module promises."""
    check_module(Msrp, MsrpSettings("relay.example.com"))


def test_commands() -> None:
    """Operators see the URIs without their secrets, and take them back."""
    bench = made()
    alice, _bob, path = pair(bench)
    shown = bench.command("msrp.list")
    assert [one["user"] for one in shown] == ["alice", "bob"]
    assert shown[0]["number"] in alice.path
    assert len(shown[0]["number"]) == 8
    assert bench.command("msrp.remove", number=shown[0]["number"]) == 1
    alice.ask("SEND", path, "Byte-Range: 1-1/1", *TEXT, body=b"x")
    assert [one.word for one in alice.take()] == ["481"]
