"""A relay, and two clients with URIs, for the tests of the module ``msrp``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sansip.auth import Lookup, ha1
from sansip.modules.msrp import Msrp, MsrpSettings
from sansip.testing import ModuleBench
from tests.modules.msrp.client import Client

TEXT = ("Message-ID: 12339sdqwer", "Content-Type: text/plain")


def users(lookup: Lookup) -> Mapping[str, str] | None:
    if lookup.username not in ("alice", "bob", "carol"):
        return None
    return {"MD5": ha1(lookup.username, lookup.realm, "secret", "MD5")}


def made(**options: Any) -> ModuleBench[Msrp]:
    return ModuleBench(Msrp, MsrpSettings("relay.example.com", **options), answers={Lookup: users})


def pair(bench: ModuleBench[Msrp]) -> tuple[Client, Client, str]:
    """Return two clients with URIs, and the path from the first to the second."""
    alice, bob = Client(bench, "alice", "192.0.2.1"), Client(bench, "bob", "192.0.2.2")
    for one in (alice, bob):
        assert one.authenticate().word == "200"
    return alice, bob, f"{alice.path} {bob.path} {bob.uri}"


def begin(sender: Client, path: str, body: str = "abc", octets: str = "1-*/*") -> None:
    """Send the beginning of a chunk, with the transaction ``big12345``; the rest and its end may come."""
    head = f"MSRP big12345 SEND\r\nTo-Path: {path}\r\nFrom-Path: {sender.uri}\r\nByte-Range: {octets}\r\n"
    sender.link.send((head + "\r\n".join(TEXT) + "\r\n\r\n" + body).encode())
