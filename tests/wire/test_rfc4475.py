"""Every RFC 4475 message: the parser's verdict, and the values that the table gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.wire import (
    Message,
    NameAddr,
    Request,
    Response,
    SipUri,
    check_headers,
    message_parts,
    parse_message,
    response_to,
    unescape,
)

FOLDER = Path(__file__).parents[2] / "conformance/sansip_conformance/data/rfc4475"
TABLE = json.loads((FOLDER / "table.json").read_text(encoding="utf-8"))["messages"]
# The RFC leaves these open, and the decision is here: accepted are only the two in which all parts that a
# proxy relies on are right.
MAY_REJECT_ACCEPTED = {"baddate", "badbranch", "regbadct"}

# A refusal repeats the very field that was malformed or missing (RFC 3261 8.2.6.2).
MALFORMED_ANSWERS = {
    "badinv01": "Via",
    "scalar02": "CSeq",
    "quotbal": "To",
    "badaspec": "To",
    "baddn": "From",
    "insuf": "From",
}


def octets(name: str) -> bytes:
    return (FOLDER / "messages" / f"{name}.dat").read_bytes()


def ids(row: dict[str, Any]) -> str:
    return str(row["name"])


@pytest.mark.parametrize("row", TABLE, ids=ids)
def test_verdict(row: dict[str, Any]) -> None:
    """The table's verdict; a refused request can be answered with a status of the table."""
    data = octets(row["name"])
    accepted = row["parse"] == "must-accept" or row["name"] in MAY_REJECT_ACCEPTED
    if accepted:
        message = parse_message(data)
        assert isinstance(message, Request) is row["is_request"]
        return
    with pytest.raises(RemoteProtocolError) as caught:
        parse_message(data)
    error = caught.value
    assert error.section.startswith("RFC ")
    if row["is_request"]:
        assert isinstance(error.message, Request)
        assert error.status in (row["udp_accept_status"] or [400])
        answer = response_to(error.message, error.status, to_tag="here")
        via, sent = error.message.reply_via, answer.reply_via
        assert via is not None
        assert sent is not None
        assert (via.branch, via.sent_by) == (sent.branch, sent.sent_by)
        if row["name"] in MALFORMED_ANSWERS:
            with pytest.raises(RemoteProtocolError) as again:
                parse_message(answer.to_bytes())
            assert again.value.field == MALFORMED_ANSWERS[row["name"]]
        else:
            parse_message(answer.to_bytes())
    else:
        assert isinstance(error.message, Response)


@pytest.mark.parametrize("row", [row for row in TABLE if row["parse"] == "must-accept"], ids=ids)
def test_round_trip(row: dict[str, Any]) -> None:
    """Untouched, a message leaves as it came (without octets beyond its body)."""
    data = octets(row["name"])
    sent = parse_message(data).to_bytes()
    assert data.startswith(sent)
    assert len(data) - len(sent) == row["checks"].get("trailing_octets", 0)


def address_check(address: NameAddr, what: str) -> Any:
    uri = address.uri
    if what == "tag":
        return address.tag
    if what == "uri":
        return str(uri)
    if what in {"display", "display_unquoted"}:
        return address.display
    if what == "display_hex_unquoted":
        return address.display.encode("utf-8", "surrogateescape").hex()
    assert isinstance(uri, SipUri)
    if what == "user_decoded_hex":
        return (uri.user_decoded or "").encode("utf-8", "surrogateescape").hex()
    return getattr(uri, what)


def value_of(message: Message, check: str) -> Any:
    """Return what the message says about ``check``, in the table's form."""
    for side, address in (("from_", "from_"), ("to_", "to")):
        if check.startswith(side):
            return address_check(getattr(message, address), check.removeprefix(side))
    if check.startswith("ruri"):
        assert isinstance(message, Request)
        uri = message.uri
        assert isinstance(uri, SipUri)
        what = check.removeprefix("ruri").removeprefix("_")
        return str(uri) if not what else list(uri.params) if what == "params" else getattr(uri, what)
    if check.startswith("contact"):
        return contact_value(message, check)
    if check.startswith("via"):
        vias = message.vias
        if check == "via":
            return [
                {name: getattr(via, name) for name in ("transport", "host", "port", "branch")} for via in vias
            ]
        if check == "via_count":
            return len(vias)
        assert check == "via_transports"
        return [via.transport for via in vias]
    parts = message_parts(message)
    found: dict[str, Any] = {
        "body_len": len(message.body),
        "content_length": message.content_length,
        "call_id": message.call_id,
        "cseq": list(message.cseq),
        "declared_content_length": message.content_length,
        "last_via": {name: getattr(message.vias[-1], name) for name in ("host", "received", "branch")},
        "max_forwards": message.max_forwards,
        "method": getattr(message, "method", None),
        "multipart_part_types": [part.content_type.value for part in parts or ()],
        "multipart_parts": len(parts or ()),
        "reason": getattr(message, "reason", None),
        "route": message.values("route"),
        "status": getattr(message, "status", None),
        "subject": message.get("subject"),
    }
    return found[check]


def contact_value(message: Message, check: str) -> Any:
    contacts = message.contacts
    assert isinstance(contacts, list)
    if check == "contact_count":
        return len(contacts)
    uris = [one.uri for one in contacts]
    if check == "contact_users_decoded_hex":
        return [
            uri.user_decoded.encode().hex() for uri in uris if isinstance(uri, SipUri) and uri.user_decoded
        ]
    uri = uris[0]
    assert isinstance(uri, SipUri)
    if check == "contact_uri_params_decoded":
        return {name: value and unescape(value) for name, value in uri.params.items()}
    found = {
        "contact_q": contacts[0].q,
        "contact_uri": str(uri),
        "contact_header_params": contacts[0].params,
        "contact_uri_params": uri.params,
        "contact_user_decoded": uri.user_decoded,
    }
    return found[check]


# Not values of the message: notes, or tested by a name of their own.
NOT_VALUES = {
    "trailing_octets",
    "archive_note",
    "reason_utf8_prefix",
    "unknown_header",
    "declared_content_length",
}
CHECKS = [
    (row["name"], check, expected)
    for row in TABLE
    if row["parse"] == "must-accept"
    for check, expected in row["checks"].items()
    if check not in NOT_VALUES
]


@pytest.mark.parametrize(("name", "check", "expected"), CHECKS, ids=lambda part: str(part)[:30])
def test_value(name: str, check: str, expected: Any) -> None:
    """The table's values are what the typed accessors give."""
    assert value_of(parse_message(octets(name)), check) == expected


def test_unknown_fields_survive() -> None:
    """RFC 4475 3.1.1.1, 3.1.1.5: unknown names and odd values are carried, %HH is no escape there."""
    message = parse_message(octets("wsinv"))
    assert message.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert parse_message(octets("esc02")).has("C%6Fntact")


def test_reason_phrase_is_utf8() -> None:
    """RFC 4475 3.1.1.12"""
    message = parse_message(octets("unreason"))
    assert isinstance(message, Response)
    assert message.reason.startswith("= 2**3 * 5**2 ")
    assert message.reason.endswith("простое")


def test_unreadable_fields_are_reported_not_refused() -> None:
    """RFC 4475 3.1.2.12, 3.1.2.13: a bad Date or Contact is no reason to refuse the message here."""
    assert [error.field for error in check_headers(parse_message(octets("baddate")))] == ["Date"]
    assert [error.field for error in check_headers(parse_message(octets("regbadct")))] == ["Contact"]


@pytest.mark.parametrize(
    "row",
    [row for row in TABLE if row["parse"] == "must-accept" and row["name"] != "sdp01"],
    ids=ids,
)
def test_all_known_fields_are_understood(row: dict[str, Any]) -> None:
    """Nothing in a well-formed message is malformed to a typed parser."""
    assert check_headers(parse_message(octets(row["name"]))) == []


def test_undocumented_message() -> None:
    """The archive's test.dat is no SIP message at all; it must only not break anything."""
    with pytest.raises(RemoteProtocolError):
        parse_message((FOLDER / "messages/test.dat").read_bytes())
