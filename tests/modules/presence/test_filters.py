"""Filters of watchers (RFC 4660, RFC 4661): the RFCs' examples, valid documents, triggers, limits."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sansip.module.xml import read_xml, write_xml
from sansip.modules.events import BadFilter
from sansip.modules.presence import package
from sansip.modules.presence.filters import applying, filtered, joined, parse_filters, snapshot
from sansip.modules.presence.pidf import parse_pidf
from tests.modules.events.weather import Stored
from tests.modules.presence.test_module import basics, bench, publish, rules
from tests.modules.presence.test_pidf import DEVICE, PERSON, document, service
from tests.modules.presence.test_rules import one as identity
from tests.modules.presence.test_rules import rule
from tests.modules.watching import Watcher

BOB = "sip:bob@biloxi.test"
TYPE = [("Content-Type", "application/simple-filter+xml")]
BASIC = "/p:presence/p:tuple/p:status/p:basic"
OPEN = f'<trigger><changed from="CLOSED" to="OPEN">{BASIC}</changed></trigger>'
IM = "<r:class>IM</r:class><contact>im:bob@biloxi.test</contact><note>n</note>"
VOICE = "<r:class>voice</r:class><contact>tel:1</contact>"


def one(inner: str, id: str = "1", **attributes: str) -> str:
    written = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<filter id="{id}"{written}>{inner}</filter>'


def filters(*inner: str, package: str = "") -> bytes:
    named = f' package="{package}"' if package else ""
    return (
        f'<filter-set xmlns="urn:ietf:params:xml:ns:simple-filter"{named}><ns-bindings>'
        '<ns-binding prefix="p" urn="urn:ietf:params:xml:ns:pidf"/>'
        '<ns-binding prefix="dm" urn="urn:ietf:params:xml:ns:pidf:data-model"/>'
        '<ns-binding prefix="r" urn="urn:ietf:params:xml:ns:pidf:rpid"/></ns-bindings>'
        f"{''.join(inner)}</filter-set>"
    ).encode()


def what(include: str = "", exclude: str = "", kind: str = "") -> str:
    named = f' type="{kind}"' if kind else ""
    found = "".join(f"<include{named}>{text}</include>" for text in include.split("|") if text)
    found += "".join(f"<exclude>{text}</exclude>" for text in exclude.split("|") if text)
    return f"<what>{found}</what>"


def left(body: bytes, inner: str) -> str:
    """What a filter leaves of a document: its elements and attributes as words; "" for nothing."""
    (made,) = parse_filters(joined(b"", filters(one(inner))))
    root = read_xml(body)
    if not filtered(root, made):
        return ""
    words = []
    for element in root.iter():
        name = re.sub(r"{.*}", "", element.tag)
        attributes = "".join(f"@{key}" for key in element.attrib if key != "id")
        words.append(f"{name}{attributes}" + (f"={element.text}" if element.text else ""))
    return " ".join(words[1:])


def watch(rig: Stored, *inner: str, name: str = "w1", headers: Any = ()) -> Watcher:
    made = Watcher(rig, name=name, headers=headers)
    assert made.subscribe(headers=TYPE, body=filters(*inner)) == 200
    return made


BODY = document(service("a", "open", IM), service("b", "closed", VOICE), PERSON, DEVICE)


def test_the_example_of_messaging() -> None:
    """RFC 4660 7.1.1: of the tuple with the class IM: status, class and contact."""
    condition = '//p:tuple[r:class="IM" or r:class="SMS" or r:class="MMS"]'
    include = what(f"{condition}/p:status/p:basic|{condition}/r:class|{condition}/p:contact")
    assert left(BODY, include) == "tuple status basic=open class=IM contact=im:bob@biloxi.test"


def test_the_example_of_open() -> None:
    """RFC 4660 7.1.2: of the tuples that are open."""
    include = what(
        '//p:tuple/p:status[p:basic="open"]/p:basic|//p:tuple[p:status/p:basic="open"]/r:class'
        '|//p:tuple[p:status/p:basic="open"]/p:contact'
    )
    assert left(BODY, include) == "tuple status basic=open class=IM contact=im:bob@biloxi.test"


@pytest.mark.parametrize(
    ("inner", "found"),
    [
        # RFC 4661 3.5.1: mandatory parts are there in any case.
        (what('//p:tuple[r:class="IM"]/p:note'), "tuple status note=n"),
        (what('//p:tuple[r:class="IM"]/p:status'), "tuple status basic=open"),
        (what("//dm:device/r:user-input"), "device user-input=active deviceID=urn:device:1"),
        (what("//r:mood"), "person mood happy"),
        (what("//r:user-input/@idle-threshold"), "person user-input@idle-threshold=idle"),
        # RFC 4661 3.5.1: a namespace selects its own elements.
        (
            what("urn:ietf:params:xml:ns:pidf", kind="namespace"),
            (
                "tuple status basic=open contact=im:bob@biloxi.test note=n "
                "tuple status basic=closed contact=tel:1"
            ),
        ),
        # RFC 4661 3.5.2: what is needed is not excluded.
        (what("//p:tuple[@id='b']", "//p:status|//p:contact"), "tuple status basic=closed class=voice"),
        (
            what("//dm:device", "//dm:deviceID|//dm:device/@id"),
            "device user-input=active deviceID=urn:device:1",
        ),
        (what("", "//p:tuple|//dm:person|//r:user-input"), "device deviceID=urn:device:1"),
        (what("//p:tuple[@id='x']"), ""),
        (what("", "/p:presence/*"), ""),
    ],
)
def test_content(inner: str, found: str) -> None:
    """What stays is valid, and nothing else stays."""
    assert left(BODY, inner) == found


@pytest.mark.parametrize("inner", ["//*", "/*/*", "//p:basic", "//r:*", "//r:mood/*", "//@id"])
def test_what_is_left_is_valid(inner: str) -> None:
    """RFC 4660 5.3.1: a presence document."""
    try:
        (made,) = parse_filters(joined(b"", filters(one(what(inner)))))
    except BadFilter:
        return
    root = read_xml(BODY)
    if filtered(root, made):
        parse_pidf(write_xml(root))


@pytest.mark.parametrize(
    "body",
    [
        filters(one(what("/p:presence/p:tuple[1]"))),
        filters(one(what("//x:y"))),
        filters(one("<what><include type='regex'>x</include></what>")),
        filters(one("<what><other/></what>")),
        filters(one("<other/>")),
        filters(one("<trigger><moved>//p:basic</moved></trigger>")),
        filters(one('<trigger><changed by="x">//p:basic</changed></trigger>')),
        filters(one("", id="")),
        filters(one("", uri=BOB, domain="biloxi.test")),
        filters(one("", uri="sip:")),
        filters(one("", enabled="maybe")),
        # RFC 4660 5.2: two filters for one resource.
        filters(one("", id="1"), one("", id="2")),
        filters(one("", id="1", uri=BOB), one("", id="2", uri="sip:bob@BILOXI.test")),
        filters(*(one("", id=str(number), uri=f"sip:{number}@biloxi.test") for number in range(17))),
        filters(one(what("|".join(["//p:basic"] * 33)))),
        filters(package="dialog"),
        b"<filter-set/>",
        filters().replace(b'prefix="p"', b'prefix=""'),
    ],
)
def test_what_is_not_supported(body: bytes) -> None:
    """RFC 4660 3.3.4, 5.4: 488."""
    with pytest.raises(BadFilter):
        parse_filters(joined(b"", body))
    assert Watcher(bench()).subscribe(headers=TYPE, body=body) == 488


def test_bodies_that_are_no_filters() -> None:
    """No XML is a 400, another type a 415 that names the one that is taken."""
    rig = bench()
    assert Watcher(rig).subscribe(headers=TYPE, body=b"<x") == 400
    other = Watcher(rig, name="w2")
    assert other.subscribe(headers=[("Content-Type", "text/plain")], body=b"x") == 415
    assert other.response is not None
    assert other.response.get("accept") == "application/simple-filter+xml"


@pytest.mark.parametrize(
    ("attributes", "applies"),
    [
        ({}, True),
        ({"uri": BOB}, True),
        ({"uri": "sip:carol@biloxi.test"}, False),
        ({"domain": "BILOXI.test"}, True),
        ({"domain": "elsewhere.test"}, False),
        ({"enabled": "false"}, False),
    ],
)
def test_whose_filter_it_is(attributes: dict[str, str], applies: bool) -> None:
    """RFC 4660 5.2.1, 5.3: of the resource, of a domain; one that is switched off is as none."""
    made = parse_filters(joined(b"", filters(one(what("//p:basic"), **attributes))))
    assert (applying(made, BOB) is not None) is applies


def test_the_first_notify_is_filtered() -> None:
    """RFC 4660 5.3.1; and so is each one after it."""
    rig = bench()
    publish(rig, BODY)
    made = watch(rig, one(what("//p:tuple/p:status")))
    assert basics(made.last) == ["open", "closed"]
    assert b"person" not in made.last.body
    publish(rig, document(service("c", "closed", IM)), made)
    assert b"IM" not in made.last.body


def test_nothing_left_is_a_notify_without_a_body() -> None:
    """RFC 4660 5.3.1; with differences, the document after it is whole."""
    rig = bench()
    made = watch(rig, one(what("//dm:person")), headers=[("Accept", "application/pidf-diff+xml")])
    assert (made.last.body, made.last.get("content-type")) == (b"", None)
    publish(rig, BODY, made)
    assert b"pidf-full" in made.last.body
    publish(rig, document(PERSON.replace("happy", "sad")), made)
    assert b"sad" in made.last.body


def test_a_trigger() -> None:
    """RFC 4660 7.1.3: told when a service becomes open, and then all of the state."""
    rig = bench()
    tag = publish(rig, document(service("a", "closed"), service("b", "closed")))
    made = watch(rig, one(OPEN))
    tag = publish(
        rig,
        document(service("a", "closed"), service("b", "closed", IM)),
        made,
        headers=[("SIP-If-Match", tag)],
    )
    assert len(made.notifies) == 1
    tag = publish(
        rig, document(service("a", "open"), service("b", "closed", IM)), made, headers=[("SIP-If-Match", tag)]
    )
    assert basics(made.last) == ["open", "closed"]
    publish(
        rig,
        document(service("a", "closed"), service("b", "closed", IM)),
        made,
        headers=[("SIP-If-Match", tag)],
    )
    assert len(made.notifies) == 2


def test_a_trigger_when_a_phone_comes() -> None:
    """Where no phone published the user is closed; the service of the first phone takes that place."""
    rig = bench()
    made = watch(rig, one(OPEN))
    publish(rig, document(service("a", "open")), made)
    assert basics(made.last) == ["open"]


STEPS = [document(service("a", "open", f"<x:n>{number}</x:n>")) for number in range(12)]


@pytest.mark.parametrize(
    ("trigger", "told"),
    [
        ("<changed>//x:n</changed>", [1, 2, 3, 4, 5]),
        ('<changed to="3">//x:n</changed>', [3]),
        ('<changed from="3">//x:n</changed>', []),
        ('<changed by="2">//x:n</changed>', [2, 4]),
        ("<changed>//p:basic</changed>", []),
        ("<added>//p:tuple[x:n=2]</added>", [2]),
        ("<removed>//p:tuple[x:n=0]</removed>", [1]),
        ('<changed to="3">//x:n</changed><added>//p:none</added>', []),
        ('<changed to="3">//x:n</changed></trigger><trigger><changed to="4">//x:n</changed>', [3, 4]),
        ("", [1, 2, 3, 4, 5]),
    ],
)
def test_triggers(trigger: str, told: list[int]) -> None:
    """RFC 4661 3.6: against the document that was told last; in one trigger all, of several any."""
    rig = bench()
    tag = publish(rig, STEPS[0])
    body = filters(one(f"<trigger>{trigger}</trigger>")).replace(
        b"<ns-bindings>", b'<ns-bindings><ns-binding prefix="x" urn="urn:x"/>'
    )
    made = Watcher(rig)
    assert made.subscribe(headers=TYPE, body=body) == 200
    seen = []
    for number in range(1, 6):
        before = len(made.notifies)
        tag = publish(rig, STEPS[number], made, headers=[("SIP-If-Match", tag)])
        if len(made.notifies) > before:
            seen.append(number)
    assert seen == told


def test_min_rate_is_obeyed() -> None:
    """RFC 6446 6: something is told so often, whatever the triggers hold back."""
    rig = bench()
    made = watch(rig, one(OPEN), headers=[("Event", "presence;min-rate=0.1")])
    publish(rig, document(service("a", "closed")), made)
    assert len(made.wait(25.0)) == 2


def test_rules_act_whatever_the_triggers() -> None:
    """A watcher that may see less hears it at once."""
    rig = bench()
    publish(rig, document(service("a", "open")))
    made = watch(rig, one(OPEN))
    rules(rig, rule(identity(), "polite-block"), watchers=[made])
    assert basics(made.last) == ["closed"]


def test_refreshes() -> None:
    """RFC 4660 5.2.2: no body changes nothing; filters are replaced, switched off and on, removed by id."""
    rig = bench()
    publish(rig, document(service("a", "open", "<note>n</note>"), service("b", "closed")))
    made = watch(rig, one(what("//p:tuple[@id='a']")))
    assert basics(made.last) == ["open"]
    made.subscribe()
    assert basics(made.last) == ["open"]
    made.subscribe(headers=TYPE, body=filters(one(what("//p:tuple[@id='b']"))))
    assert basics(made.last) == ["closed"]
    made.subscribe(headers=TYPE, body=filters(one("", enabled="false")))
    assert basics(made.last) == ["open", "closed"]
    made.subscribe(headers=TYPE, body=filters(one("", enabled="true")))
    assert basics(made.last) == ["closed"]
    assert made.subscribe(headers=TYPE, body=filters(one(what("//p:basic"), id="2"))) == 488
    made.subscribe(headers=TYPE, body=filters(one("", id="1", remove="true"), one(what("//p:basic"), id="2")))
    assert basics(made.last) == ["open", "closed"]
    assert b"note" not in made.last.body
    made.subscribe(headers=TYPE, body=filters(one("", id="2", remove="true")))
    assert b"note" in made.last.body


def test_filters_that_grow() -> None:
    """What refreshes add up to counts for events.size as well."""
    rig = bench()
    made = watch(rig, one(what("//p:basic")))
    long = "//p:tuple[" + "@id='" + "x" * 900 + "']"
    statuses = [
        made.subscribe(
            headers=TYPE,
            body=filters(one(what(long), id=str(number), uri=f"sip:{number}@biloxi.test")),
        )
        for number in range(2, 14)
    ]
    assert statuses[0] == 200
    assert statuses[-1] == 513


def test_a_restart() -> None:
    """The filter is in the row; the first NOTIFY after it is whole, whatever the triggers."""
    rig = bench()
    publish(rig, BODY)
    made = watch(rig, one(what("//p:tuple[@id='a']") + OPEN))
    rig = bench(rig.rows, now=rig.now + 1)
    made.rig = rig
    made.take(rig.log)
    made.wait(1.0)
    assert basics(made.last) == ["open"]
    before = len(made.notifies)
    publish(rig, document(service("z", "closed")), made)
    assert len(made.notifies) == before


def test_what_would_take_too_long() -> None:
    """RFC 4660 5.3.1: the NOTIFY has no body, and nobody waits."""
    rig = bench()
    inner = "<x:a>" * 15 + "</x:a>" * 15
    publish(rig, document(*(service(f"t{number}", "open", inner * 3) for number in range(12))))
    made = watch(rig, one(what("|".join(["//*//*//*//*"] * 8))))
    assert made.last.body == b""


def test_watchers_with_the_same_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter takes milliseconds: it is applied once to each state, no matter who has it."""
    rig = bench()
    tag = publish(rig, document(service("a", "closed")))
    inner = what("//p:basic") + OPEN
    made = [watch(rig, one(inner), name=f"w{number}") for number in range(5)]
    other = watch(rig, one(what("//p:note") + OPEN), name="other")
    counted: list[str] = []
    for name in ("filtered", "snapshot"):
        plain = getattr(package, name)

        def counting(*given: Any, name: str = name, plain: Any = plain) -> Any:
            counted.append(name)
            return plain(*given)

        monkeypatch.setattr(package, name, counting)
    state = service("a", "open", "<note>n</note>")
    tag = publish(rig, document(state), *made, other, headers=[("SIP-If-Match", tag)])
    assert counted.count("filtered") == counted.count("snapshot") == 2
    assert {each.last.body for each in made} == {made[0].last.body}
    assert b"note" not in made[0].last.body
    assert b"note" in other.last.body
    # Another state is another document.
    publish(rig, document(service("a", "closed")), *made, other, headers=[("SIP-If-Match", tag)])
    assert counted.count("snapshot") == 4


def test_changes_that_are_held_back_have_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who publishes all the time and a watcher who wants none of it cannot take a core."""
    rig = bench(interval=5.0, burst=3)
    tag = publish(rig, document(service("a", "closed")))
    made = watch(rig, one(OPEN))
    looks: list[float] = []

    def counting(*given: Any) -> Any:
        looks.append(rig.now)
        return snapshot(*given)

    monkeypatch.setattr(package, "snapshot", counting)
    for number in range(20):
        state = document(service("a", "closed", f"<note>{number}</note>"))
        tag = publish(rig, state, made, headers=[("SIP-If-Match", tag)])
        made.wait(0.1)
    assert 1 <= len(looks) <= 3
    # What triggers is told, a little later.
    publish(rig, document(service("a", "open")), made, headers=[("SIP-If-Match", tag)])
    made.wait(6.0)
    assert basics(made.last) == ["open"]
    assert len(made.notifies) == 2
