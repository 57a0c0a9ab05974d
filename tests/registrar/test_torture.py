"""RFC 4475: what a registrar makes of the torture messages that are REGISTERs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sansip.wire import parse_message

MESSAGES = Path(__file__).parents[2] / "conformance/sansip_conformance/data/rfc4475/messages"


def send(site, name):
    return site.answer(parse_message((MESSAGES / f"{name}.dat").read_bytes()))


def test_escaped_nulls(site):
    """3.1.1.4: two contacts, %00 and %00%00, and an address-of-record that does not end at its NUL."""
    assert send(site, "escnull").status == 200

    aor = "sip:null-%00-null@example.com"
    assert site.contacts(aor) == ["sip:%00@host5.example.com", "sip:%00%00@host5.example.com"]
    assert [b.uri.user_decoded for b in site.bindings(aor)] == ["\0", "\0\0"]


def test_a_contact_parameter_without_brackets(site, values):
    """3.3.12: unknownparam belongs to the field, "and must not appear as URL parameter"."""
    assert values(send(site, "cparam01"), "Contact") == [
        "<sip:+19725552222@gw1.example.net>;expires=3600;unknownparam"
    ]


def test_a_uri_parameter_in_brackets(site, values):
    """3.3.13: unknownparam belongs to the URI, and proxies send to it as such."""
    reply = send(site, "cparam02")

    assert values(reply, "Contact") == ["<sip:+19725552222@gw1.example.net;unknownparam>;expires=3600"]
    assert site.contacts("sip:watson@example.com") == ["sip:+19725552222@gw1.example.net;unknownparam"]


def test_a_header_in_the_contact_uri(site, values):
    """3.3.14: the escaped Route stays in the URI, in later fetches too."""
    contact = ["<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600"]

    assert values(send(site, "regescrt"), "Contact") == contact
    assert values(site.send(to="sip:user@example.com"), "Contact") == contact


@pytest.mark.parametrize(
    ("name", "status"),
    [
        # 3.1.2.13: the "?" makes the URI ambiguous; 400 is "reasonable".
        ("regbadct", 400),
        # 3.3.4: To is not SIP.
        ("unksm2", 400),
        # 3.3.7: credentials of an unknown scheme, which no server asked for.
        ("regaut01", 200),
        # 3.1.1.8: what follows the message in the datagram is nothing.
        ("dblreq", 200),
    ],
)
def test_statuses(site, name, status):
    """The table's verdicts."""
    assert send(site, name).status == status
