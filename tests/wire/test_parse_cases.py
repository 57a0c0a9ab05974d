"""All shared parse cases: what other stacks' unit tests expect (conformance data, parse-cases)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.wire import (
    STAR,
    Challenge,
    NameAddr,
    Request,
    Response,
    SipUri,
    parse_host,
    parse_message,
    parse_name_addr,
    parse_uri,
    parse_via,
    split_values,
    unfold,
    uri_equal,
)
from sansip.wire.headers.registry import PARSERS
from sansip.wire.host import ipv4_octets
from sansip.wire.names import header_key

CASES = json.loads(
    (Path(__file__).parents[2] / "conformance/sansip_conformance/data/parse-cases/shared.json").read_text(
        encoding="utf-8"
    )
)["cases"]


def uri_values(uri: Any) -> dict[str, Any]:
    """Return a URI in the neutral form of the cases."""
    assert isinstance(uri, SipUri)
    return {
        "scheme": uri.scheme,
        "user": uri.user,
        "user_decoded": uri.user_decoded,
        "password": uri.password,
        "host": uri.host,
        "port": uri.port,
        "params": uri.params,
        "headers": [list(pair) for pair in uri.headers],
    }


def address_values(address: NameAddr) -> dict[str, Any]:
    return {"display": address.display, "uri": uri_values(address.uri), "params": address.params}


def typed(name: str, value: str) -> Any:
    """Return the typed value of a field that has one line."""
    return PARSERS[header_key(name)]([unfold(value).strip(" \t")])


def read_uri(text: str) -> Any:
    return uri_values(parse_uri(text))


def read_name_addr(text: str) -> Any:
    return address_values(parse_name_addr(unfold(text), "To", ""))


def read_contacts(text: str) -> Any:
    contacts = typed("Contact", text)
    return {"star": True} if contacts is STAR else {"contacts": [address_values(one) for one in contacts]}


def read_vias(text: str) -> Any:
    return [
        {name: getattr(via, name) for name in ("protocol", "version", "transport", "host", "port", "params")}
        for via in map(parse_via, split_values(unfold(text)))
    ]


def read_header(text: str) -> Any:
    name, _, value = text.partition(":")
    result = typed(name, value)
    address = result[0] if isinstance(result, list) else result
    names = {"to": "To", "from": "From", "route": "Route", "refer-to": "Refer-To"}
    return {"name": names[header_key(name)], **address_values(address)}


def read_host(text: str) -> Any:
    host = parse_host(text)
    if host is None:
        raise RemoteProtocolError("no host")
    kind = "ipv6" if ":" in host else "ipv4" if ipv4_octets(host) else "domain"
    return {"type": kind}


def read_challenge(text: str) -> Any:
    challenge = typed("WWW-Authenticate", text)[0]
    assert isinstance(challenge, Challenge)
    names = ("scheme", "realm", "nonce", "qop", "algorithm", "stale", "opaque")
    return {name: getattr(challenge, name) for name in names}


def attributes(name: str) -> Any:
    def read(text: str) -> Any:
        result = typed(name, text)
        result = result[0] if isinstance(result, list) else result
        return {one: getattr(result, one) for one in dir(result) if not one.startswith("_")}

    return read


def read_status_line(text: str) -> Any:
    fields = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\n"
    response = parse_message(f"{text}\r\n{fields}CSeq: 1 INVITE\r\n\r\n".encode())
    assert isinstance(response, Response)
    return {"status": response.status, "reason": response.reason}


def read_message(text: str) -> Any:
    message = parse_message(text.encode())
    contacts = message.contacts
    values: dict[str, Any] = {
        "cseq": list(message.cseq),
        "top_branch": message.via.branch,
        "via_branches": [via.branch for via in message.vias],
        "from_tag": message.from_tag,
        "to_tag": message.to_tag,
        "call_id": message.call_id,
        "route_count": len(message.routes),
        "contact_uris": [str(one.uri) for one in contacts] if isinstance(contacts, list) else [],
        "header_values": {"X-Long": message.values("x-long")},
    }
    if isinstance(message, Request):
        return values | {"method": message.method}
    return values | {"status": message.status, "reason": message.reason}


READERS = {
    "uri": read_uri,
    "name_addr": read_name_addr,
    "contact_field": read_contacts,
    "via": read_vias,
    "header": read_header,
    "host": read_host,
    "challenge": read_challenge,
    "status_line": read_status_line,
    "message": read_message,
    "cseq": attributes("CSeq"),
    "event": attributes("Event"),
    "session_expires": attributes("Session-Expires"),
    "reason": attributes("Reason"),
    "replaces": attributes("Replaces"),
}


def assert_holds(expected: Any, found: Any) -> None:
    """Check that everything expected is found; more may be found."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert_holds(value, found[name])
    elif isinstance(expected, list):
        assert len(expected) == len(found)
        for one, other in zip(expected, found, strict=True):
            assert_holds(one, other)
    else:
        assert expected == found


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["kind"] != "uri_equal"], ids=lambda case: case["id"]
)
def test_case(case: dict[str, Any]) -> None:
    """The case is accepted with its values, or refused, as the table says."""
    read = READERS[case["kind"]]
    if case["expect"] == "reject":
        with pytest.raises(RemoteProtocolError):
            read(case["input"])
        return
    try:
        found = read(case["input"])
    except RemoteProtocolError:
        assert case["expect"] == "either"
        return
    assert_holds(case.get("values", {}), found)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["kind"] == "uri_equal"], ids=lambda case: case["id"]
)
def test_equality(case: dict[str, Any]) -> None:
    """RFC 3261 19.1.4's own lists, in both directions."""
    a, b = map(parse_uri, case["input"])
    assert uri_equal(a, b) is case["values"]["equal"]
    assert uri_equal(b, a) is case["values"]["equal"]


def test_all_kinds_are_read() -> None:
    """A case of a kind that no reader knows would be skipped silently."""
    assert {case["kind"] for case in CASES} == {*READERS, "uri_equal"}
