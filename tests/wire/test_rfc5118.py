"""Every RFC 5118 message: IPv6 references in all the places where they occur."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.wire import Request, SipUri, parse_message

FOLDER = Path(__file__).parents[2] / "conformance/sansip_conformance/data/rfc5118"
TABLE = json.loads((FOLDER / "table.json").read_text(encoding="utf-8"))["messages"]


def octets(row: dict[str, Any]) -> bytes:
    file: str = row.get("file_cl_fixed", row["file"])
    return (FOLDER / file).read_bytes()


def ids(row: dict[str, Any]) -> str:
    return str(row["name"])


@pytest.mark.parametrize("row", TABLE, ids=ids)
def test_verdict(row: dict[str, Any]) -> None:
    """The table's verdict, and its values of the accepted messages."""
    if row["parse"] == "must-reject":
        with pytest.raises(RemoteProtocolError) as caught:
            parse_message(octets(row))
        assert caught.value.status == 400
        return
    message = parse_message(octets(row))
    assert isinstance(message, Request)
    uri = message.uri
    assert isinstance(uri, SipUri)
    contacts = message.contacts
    contact = contacts[0].uri if isinstance(contacts, list) and contacts else None
    sdp = message.body.decode()
    found = {
        "method": message.method,
        "ruri_host": uri.host,
        "ruri_port": uri.port,
        "ruri_host_raw": str(uri).partition("@")[2],
        "via_host": message.via.host,
        "via_received": message.via.received,
        "via_hosts": [via.host for via in message.vias],
        "via_ports": [via.port for via in message.vias],
        "contact_host": contact.host if isinstance(contact, SipUri) else None,
        "sdp_c": next((line[2:] for line in sdp.splitlines() if line.startswith("c=")), None),
        "sdp_media": sdp.count("m="),
    }
    for name, value in row["checks"].items():
        assert found[name] == value, name
    assert message.to_bytes() == octets(row)


def test_archived_bodies_that_are_too_short() -> None:
    """RFC 3261 18.3: the archive's ipv6-in-sdp announces more octets than it has."""
    with pytest.raises(RemoteProtocolError) as caught:
        parse_message((FOLDER / "messages/ipv6-in-sdp.dat").read_bytes())
    assert caught.value.field == "Content-Length"


def test_brackets_of_received_are_not_emitted() -> None:
    """RFC 5118 4.5: they are read, and a Via that is written again has none."""
    (row,) = [row for row in TABLE if row["name"] == "via-received-param-with-delim"]
    message = parse_message(octets(row))
    assert message.via.received == "2001:db8::9:255"
    message.set("Via", message.via)
    assert "received=2001:db8::9:255" in str(message)


def test_extra_colon_is_not_repeated() -> None:
    """RFC 5118 4.10: a value built from the host has two colons."""
    (row,) = [row for row in TABLE if row["name"] == "ipv6-bug-abnf-3-colons"]
    message = parse_message(octets(row))
    assert isinstance(message, Request)
    assert isinstance(message.uri, SipUri)
    assert message.uri.host == "2001:db8::192.0.2.1"
    assert str(message.uri.replace(port=5062)) == "sip:user@[2001:db8::192.0.2.1]:5062"
