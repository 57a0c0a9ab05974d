"""A plain presence document has the parts that lxml finds, octet for octet; all else is lxml's."""

from __future__ import annotations

import random

import pytest

from sansip.modules.presence.pidf import _parts_by_lxml
from sansip.modules.presence.plain import _spaces, plain_parts
from tests.fuzz.mutate import change

# As baresip, linphone and the benchmark write them.
BARESIP = b"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf"
    xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
    xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"
    entity="sip:alice@biloxi.test">
  <dm:person id="p4159"><rpid:activities/></dm:person>
  <tuple id="t4109">
    <status>
      <basic>open</basic>
    </status>
    <contact>sip:alice@192.0.2.1</contact>
  </tuple>
</presence>
"""
LINPHONE = b"""<?xml version="1.0" encoding="UTF-8"?>
<presence entity="sip:bob@biloxi.test" xmlns="urn:ietf:params:xml:ns:pidf" \
xmlns:pidfonline="urn:ietf:params:xml:ns:pidf:online">
  <tuple id="t-1"><status><basic>open</basic><pidfonline:online/></status>
  <contact priority="0.8">sip:bob@192.0.2.1</contact><timestamp>2026-11-30T12:00:00Z</timestamp></tuple>
  <note>at home, 'here' "now"</note>
</presence>"""
SHORT = (
    b'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@biloxi.test">'
    b'<tuple id="a"><status><basic>open</basic></status></tuple></presence>'
)
PLAIN = (BARESIP, LINPHONE, SHORT)
PIECES = (
    b'<tuple id="b"><status><basic>closed</basic></status></tuple>',
    b'<tuple id="c"><status>x</status><contact>a</contact><contact>b</contact></tuple>',
    b'<tuple id="d"><status><status>x</status></status><contact>a</contact></tuple>',
    b'<tuple id="e"><status>x</status><a><contact>a</contact></a></tuple>',
    b'<tuple id="f"><status>x</status><contact/></tuple>',
    b'<tuple id="g"><note>n</note><status>x</status></tuple>',
    b"<tuple><status>x</status></tuple>",
    b'<tuple id="h">text</tuple>',
    b'<dm:person id="p"><a/></dm:person>',
    b'<dm:device id="p"><dm:deviceID>mac:1</dm:deviceID></dm:device>',
    b'<x:y id="p"><a/></x:y>',
    b"<note>n</note>",
    b"<note></note>",
    b'<note xml:lang="en">n</note>',
    b"<a/>",
    b"<a></a>",
    b"<a> </a>",
    b'<a b="c"/>',
    b'<a  b="c"/>',
    b"<a b='c'/>",
    b'<a b="c" b="d"/>',
    b'<a xmlns="urn:a:b"/>',
    b' xmlns:x="urn:a:b"',
    b' xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"',
    b' xmlns:q="urn:ietf:params:xml:ns:pidf"',
    b' xmlns:xmlq="urn:a:b"',
    b' entity="x"',
    b"<!-- c -->",
    b"<?p i?>",
    b"&amp;",
    b"&#9;",
    b"<![CDATA[x]]>",
    b"\xc3\xa9",
    b"\r\n",
    b"\t",
    b">",
    b'"',
    b"x:",
    b"dm:",
)


def agree(body: bytes) -> bool:
    """Assert that the parts are those that lxml finds; return whether it was plain."""
    parts = plain_parts(body)
    if parts is None:
        return False
    assert [(one.kind, one.id, one.octets, one.place) for one in parts] == [
        (one.kind, one.id, one.written, one.place) for one in _parts_by_lxml(body)
    ], body
    return True


@pytest.mark.parametrize("body", PLAIN)
def test_what_phones_write(body: bytes) -> None:
    """It is plain."""
    assert agree(body)


def test_each_octet_spoiled() -> None:
    """One octet changed, at each place."""
    for body in PLAIN:
        for at in range(len(body)):
            for octet in b"\x00\r\n\t <>/&\"=:'x;!?\x7f\x80":
                agree(body[:at] + bytes([octet]) + body[at + 1 :])


def test_pieces_put_in() -> None:
    """Whatever is put in somewhere: what is taken is what lxml takes."""
    taken = 0
    for body in PLAIN:
        for number, piece in enumerate(PIECES):
            # Behind each tag, and at every fifth octet.
            ends = [at + 1 for at, octet in enumerate(body) if octet == ord(">")]
            for at in (*ends, *range(number % 5, len(body), 5)):
                taken += agree(body[:at] + piece + body[at:])
    assert taken > 100


def test_spoiled_documents() -> None:
    """Near the edge of the plain form is where two readers would differ."""
    chance = random.Random(1)
    taken = 0
    for _ in range(3_000):
        body = bytearray(chance.choice(PLAIN))
        for _ in range(chance.choice((1, 2, 3))):
            if chance.random() < 0.5 or not body:
                at = chance.randrange(len(body) + 1)
                body[at:at] = chance.choice(PIECES)
            else:
                change(body, chance, [*PLAIN, *PIECES])
        taken += agree(bytes(body))
    assert 50 < taken < 2_700


def test_time_is_linear() -> None:
    """A stranger's octets of each kind, as many as are read: no repeat is tried in two ways."""
    begin = SHORT.partition(b"<status>")[0]
    for piece in (*PIECES, b"<a>", b"</a>", b"<a><b>", b"<a>x</a>", b"<a><b/></a>", b" ", b"<status>"):
        for before in (begin, SHORT[:-11], b"<presence", b""):
            agree(before + piece * ((4_096 - len(before)) // len(piece)))


def test_long_roots_are_not_remembered() -> None:
    """A thousand of as many octets as a publication may have would be 16 MB, for who may publish."""
    _spaces.cache_clear()
    padding = b" ".join(b'xmlns:p%d="urn:x:%d"' % (number, number) for number in range(100))
    long = SHORT.replace(b" xmlns=", b" " + padding + b" xmlns=")
    for body in (SHORT, long, long.replace(b"bob", b"eve"), SHORT):
        found = plain_parts(body)
        assert found is not None
        assert [one.kind for one in found] == ["tuple"]
    assert _spaces.cache_info().currsize == 1
