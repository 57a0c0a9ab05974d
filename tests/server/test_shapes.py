"""Shapes of production calls that take the quick ways of octets do so still."""

from __future__ import annotations

import pytest

from benchmarks.shapes import SHAPES, played

RIDES = {
    "plain call",
    "with passwords",
    "callee writes ;transport=udp",
    "outbound proxy in Route",
    "caller without rport",
    "caller asks for user=phone",
    "caller behind a NAT",
    "callee behind a NAT",
    "both behind a NAT",
    "session timer asked for",
    "caller over TCP",
    "callee over TCP",
    "both over TCP behind a NAT",
    "outbound proxy in Route over TCP",
}


@pytest.mark.parametrize("shape", [one for one in SHAPES if one.name in RIDES], ids=lambda one: one.name)
def test_each_message_rides(shape: object) -> None:
    """One message that leaves the quick ways costs several times as much, and nobody would see it."""
    found = next(one for one in SHAPES if one is shape)
    assert [name for name, rides in played(found) if not rides] == []


@pytest.mark.parametrize("shape", SHAPES, ids=lambda one: one.name)
def test_each_shape_is_a_whole_call(shape: object) -> None:
    """A play that ends early would count too few."""
    rode = played(next(one for one in SHAPES if one is shape))
    assert [name for name, _ in rode][-1] == "200 OK to BYE"


def test_a_phone_behind_a_nat_registers_from_octets() -> None:
    """It does so once a minute: most REGISTERs of production are these."""
    shape = next(one for one in SHAPES if one.name == "both behind a NAT")
    registers = [rides for name, rides in played(shape) if name.startswith("REGISTER")]
    assert registers == [True] * 6


def test_the_names_are_those_of_shapes() -> None:
    """A name that is misspelt would hold nothing."""
    assert {one.name for one in SHAPES} >= RIDES
