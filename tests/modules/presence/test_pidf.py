"""Presence documents: read, composed, shown in part, told by differences."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module.xml import read_xml
from sansip.modules.presence.partial import difference, state_of, whole
from sansip.modules.presence.pidf import compose, on_the_phone, parse_pidf, sphere_of, write_pidf
from sansip.modules.presence.privacy import shown
from sansip.modules.presence.rules import ALL, EVERYTHING, NOTHING, Shows

PIDF = "{urn:ietf:params:xml:ns:pidf}"
EVERY = frozenset({(ALL, "")})
# Namespaces in an attribute list.
MANY = (
    '"' + "".join(f' xmlns:n{number}="urn:{"n" * 40}" n{number}:a{number}="1"' for number in range(150))[:-1]
)


def document(*inner: str, entity: str = "sip:bob@biloxi.test") -> bytes:
    return (
        '<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" '
        'xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" '
        f'xmlns:x="urn:x" entity="{entity}">{"".join(inner)}</presence>'
    ).encode()


def service(id: str = "a", basic: str = "open", inner: str = "") -> str:
    return f'<tuple id="{id}"><status><basic>{basic}</basic></status>{inner}</tuple>'


PERSON = (
    '<dm:person id="p"><r:activities><r:busy/></r:activities><r:class>biz</r:class>'
    "<r:mood><r:happy/></r:mood><r:sphere><r:work/></r:sphere>"
    '<r:user-input idle-threshold="600" since="2020-01-01T00:00:00Z">idle</r:user-input>'
    "<x:new/><dm:note>out</dm:note><dm:timestamp>2020-01-01T00:00:00Z</dm:timestamp></dm:person>"
)
DEVICE = (
    '<dm:device id="d"><r:user-input>active</r:user-input><dm:deviceID>urn:device:1</dm:deviceID></dm:device>'
)


def composed(*bodies: bytes) -> list[Any]:
    return compose(parse_pidf(body) for body in bodies)


def ids(parts: Any) -> list[str]:
    return [part.id for part in parts]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<presence/>",
        document(entity=""),
        document("<tuple><status/></tuple>"),
        document('<tuple id="a"/>'),
        document('<x:odd xmlns:p="urn:ietf:params:xml:ns:pidf" p:mustUnderstand="1"/>'),
        document(*[service(f"t{number}") for number in range(300)]),
        # Each part has the namespaces of the root: 14 KB would be 900.
        document(*[service(f"t{number}") for number in range(100)], entity=f"a{MANY}"),
        # Each character is an entity of six: what is renamed could not be read again.
        document(service("1", inner="<contact a='" + '"' * 15_000 + "'/>")),
        b'<!DOCTYPE presence><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:a@b"/>',
    ],
)
def test_refused(body: bytes) -> None:
    """RFC 3863 4.1: what is no presence document, or says that it must be understood, is a 400."""
    with pytest.raises(ValueError, match=r"."):
        parse_pidf(body)


def test_extensions_pass() -> None:
    """What is not understood inside of a service is kept as it is."""
    (part,) = composed(document(service(inner="<x:odd x:a='1'>t</x:odd>")))
    assert read_xml(part.written).find("{urn:x}odd").text == "t"


def test_several_devices() -> None:
    """Services of several publications stand side by side, the newest first, each with an id of its own."""
    parts = composed(
        document(service("a", "open")), document(service("a", "closed", "<contact>sip:x@y</contact>"))
    )
    assert ids(parts) == ["a", "tuple1-0"]
    root = read_xml(write_pidf("sip:bob@biloxi.test", parts))
    assert [one.findtext(f"{PIDF}status/{PIDF}basic") for one in root] == ["open", "closed"]
    assert root.get("entity") == "sip:bob@biloxi.test"


def test_one_service_twice() -> None:
    """Of the same service the newest counts: a phone that lost its entity-tag publishes itself anew."""
    parts = composed(document(service("a", "open")), document(service("a", "closed")))
    assert len(parts) == 1
    assert b"open" in parts[0].written


def test_one_person_and_each_device_once() -> None:
    """RFC 4479 3.2: one person; of a device, by its deviceID, the newest."""
    other = DEVICE.replace('id="d"', 'id="e"').replace("active", "idle")
    parts = composed(
        document(service("a"), PERSON, DEVICE), document(service("b"), PERSON.replace("biz", "home"), other)
    )
    assert [part.kind for part in parts] == ["tuple", "tuple", "person", "device"]
    assert b"biz" in parts[2].written
    assert b"active" in parts[3].written


def test_odd_ids() -> None:
    """An id that a selector cannot hold is replaced."""
    assert ids(composed(document(service("a' or '1'='1")))) == ["tuple0-0"]


def test_the_sphere() -> None:
    """RFC 4480 3.10: as an element or as text."""
    assert sphere_of(composed(document(PERSON))) == "work"
    assert sphere_of(composed(document(PERSON.replace("<r:work/>", "home")))) == "home"
    assert sphere_of([on_the_phone()]) == ""


# --- what is shown (RFC 5025 3.3)


@pytest.mark.parametrize(
    ("shows", "kinds"),
    [
        (EVERYTHING, ["tuple", "person", "device"]),
        (NOTHING, []),
        (Shows(services=EVERY), ["tuple"]),
        (Shows(services=frozenset({("occurrence-id", "a")})), ["tuple"]),
        (Shows(services=frozenset({("service-uri", "sip:bob@192.0.2.2")})), ["tuple"]),
        (Shows(services=frozenset({("service-uri-scheme", "sip")})), ["tuple"]),
        (Shows(services=frozenset({("class", "biz")})), []),
        (Shows(persons=frozenset({("class", "biz")})), ["person"]),
        (Shows(devices=frozenset({("deviceID", "urn:device:1")})), ["device"]),
        (Shows(devices=frozenset({("deviceID", "urn:device:2")})), []),
    ],
)
def test_which_parts(shows: Shows, kinds: list[str]) -> None:
    """RFC 5025 3.3.1: services, persons and devices by what identifies them."""
    parts = composed(document(service(inner="<contact>sip:bob@192.0.2.2</contact>"), PERSON, DEVICE))
    assert [part.kind for part in shown(parts, shows)] == kinds


@pytest.mark.parametrize(
    ("shows", "names"),
    [
        (Shows(persons=EVERY), ["timestamp"]),
        (
            Shows(persons=EVERY, attributes=frozenset({"activities", "note"})),
            ["activities", "note", "timestamp"],
        ),
        (Shows(persons=EVERY, unknown=frozenset({("urn:x", "new")})), ["new", "timestamp"]),
        (Shows(persons=EVERY, user_input=10), ["user-input", "timestamp"]),
        (
            Shows(persons=EVERY, attributes=frozenset({ALL})),
            ["activities", "class", "mood", "sphere", "user-input", "new", "note", "timestamp"],
        ),
    ],
)
def test_which_attributes(shows: Shows, names: list[str]) -> None:
    """RFC 5025 3.3.2: what no permission names is removed; some are always there."""
    (part,) = shown(composed(document(PERSON)), shows)
    assert [one.tag.rpartition("}")[2] for one in read_xml(part.written)] == names


@pytest.mark.parametrize(
    ("level", "left"), [(10, []), (20, ["idle-threshold"]), (30, ["idle-threshold", "since"])]
)
def test_user_input(level: int, left: list[str]) -> None:
    """RFC 5025 3.3.2.12."""
    (part,) = shown(composed(document(PERSON)), Shows(persons=EVERY, user_input=level))
    (found,) = read_xml(part.written).findall("{urn:ietf:params:xml:ns:pidf:rpid}user-input")
    assert sorted(found.attrib) == left


def test_the_status_of_a_service() -> None:
    """RFC 5025 3.3.2: basic, contact and timestamp stay, extensions of the status go."""
    inner = "<contact>sip:x@y</contact><note>n</note>"
    body = document(service(inner=inner).replace("</status>", "<x:secret/></status>"))
    (part,) = shown(composed(body), Shows(services=EVERY))
    root = read_xml(part.written)
    assert [one.tag for one in root] == [f"{PIDF}status", f"{PIDF}contact"]
    assert [one.tag for one in root[0]] == [f"{PIDF}basic"]


# --- partial documents (RFC 5262)


def test_whole_and_difference() -> None:
    """Gone services are removed, new ones added before the rest, changed ones replaced."""
    before = composed(document(service("a"), service("b"), PERSON))
    after = composed(document(service("b", "closed"), service("c"), PERSON))
    root = read_xml(whole("sip:bob@biloxi.test", before, 1))
    assert (root.tag, root.get("version"), len(root)) == (
        "{urn:ietf:params:xml:ns:pidf-diff}pidf-full",
        "1",
        3,
    )
    octets = difference("sip:bob@biloxi.test", state_of(before), state_of(after), 2)
    assert octets is not None
    root = read_xml(octets)
    assert root.get("version") == "2"
    assert [(one.tag.rpartition("}")[2], one.get("sel"), one.get("pos"), len(one)) for one in root] == [
        ("remove", "*/tuple[@id='a']", None, 0),
        ("replace", "*/tuple[@id='b']", None, 1),
        ("add", "*", "prepend", 1),
    ]


def test_no_difference_for_notes() -> None:
    """Notes have no id, so a change of them is told by the whole document."""
    before, after = (
        state_of(composed(document(service(), f"<note>{word}</note>"))) for word in ("in", "out")
    )
    assert difference("sip:bob@biloxi.test", before, after, 2) is None
    assert difference("sip:bob@biloxi.test", before, before, 2) is not None
