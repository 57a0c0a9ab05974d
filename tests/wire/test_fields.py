"""Editing header fields: visible at once, and nothing else moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import LocalProtocolError
from sansip.wire import NameAddr, Request, parse_message
from sansip.wire.fields import header_line

REQUEST = (
    b"INVITE sip:bob@example.com SIP/2.0\r\n"
    b"v: SIP/2.0/UDP a;branch=z9hG4bKa;rport, SIP/2.0/TCP b\r\n ;branch=z9hG4bKb\r\n"
    b"Route: <sip:r1;lr>,\r\n\t<sip:r2,x@h;lr>\r\n"
    b"X-Odd :  kept   as it came  \r\n"
    b"Via:SIP/2.0/TLS c;branch=z9hG4bKc\r\n"
    b"From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: x@y\r\nCSeq: 1 INVITE\r\n"
    b"ROUTE: <sip:r3>\r\nMax-Forwards: 70\r\nContent-Length: 4\r\n\r\nbody"
)


ROUTES = ["<sip:r1;lr>", "<sip:r2,x@h;lr>", "<sip:r3>"]


def request() -> Request:
    message = parse_message(REQUEST)
    assert isinstance(message, Request)
    return message


def test_reading() -> None:
    """Lines, values and keys, with compact forms and folds."""
    message = request()
    assert message.get("via") == "SIP/2.0/UDP a;branch=z9hG4bKa;rport, SIP/2.0/TCP b ;branch=z9hG4bKb"
    assert message.get_all("v")[1] == "SIP/2.0/TLS c;branch=z9hG4bKc"
    assert message.values("Route") == ["<sip:r1;lr>", "<sip:r2,x@h;lr>", "<sip:r3>"]
    assert message.get("x-odd") == "kept   as it came"
    assert message.get("Subject") is None
    assert message.get_all("Subject") == []
    assert message.values("Subject") == []
    assert message.has("L")
    assert not message.has("Subject")
    assert message.keys[:4] == ["via", "route", "x-odd", "via"]
    assert message.lines[2] == "X-Odd :  kept   as it came  "
    assert message.raw_lines("route") == ["Route: <sip:r1;lr>,\r\n\t<sip:r2,x@h;lr>", "ROUTE: <sip:r3>"]
    assert message.raw_lines("from") == ["From: <sip:a@h>;tag=1"]
    assert message.raw_lines("subject") == []
    assert message.first_line("route") == "Route: <sip:r1;lr>,\r\n\t<sip:r2,x@h;lr>"


def test_untouched_lines_stay_as_they_came() -> None:
    """An edit of one field leaves every other octet alone."""
    message = request()
    message.set("Max-Forwards", 69)
    assert message.to_bytes() == REQUEST.replace(b"Max-Forwards: 70", b"Max-Forwards: 69")


def test_set() -> None:
    """All lines of the name become one, where the first was, else at the end."""
    message = request()
    assert len(message.routes) == 3
    message.set("route", "<sip:new;lr>")
    assert [str(route) for route in message.routes] == ["<sip:new;lr>"]
    assert message.keys.index("route") == 1
    assert message.keys.count("route") == 1
    message.set("Subject", "hi")
    assert message.lines[-1] == "Subject: hi"
    assert message.get("s") == "hi"


def test_append_and_prepend() -> None:
    """Next to their own kind, else at the end or the top."""
    message = request()
    message.append("Route", "<sip:r4>")
    assert message.values("route")[-1] == "<sip:r4>"
    assert message.keys[message.lines.index("ROUTE: <sip:r3>") + 1] == "route"
    message.prepend("v", "SIP/2.0/UDP new;branch=z9hG4bKnew")
    assert message.via.host == "new"
    assert message.lines[0] == "Via: SIP/2.0/UDP new;branch=z9hG4bKnew"
    assert len(message.vias) == 4
    message.prepend("X-Top", "1")
    assert message.keys[0] == "x-top"
    message.append("X-End", "1")
    assert message.keys[-1] == "x-end"
    assert message.get("x-end") == "1"


def test_remove() -> None:
    """All lines go; removing a missing field does nothing."""
    message = request()
    assert len(message.routes) == 3
    message.remove("Route")
    assert message.routes == []
    assert not message.has("route")
    message.remove("Route")
    assert b"Route" not in message.to_bytes()


def test_pop_first_value() -> None:
    """Value by value, line by line; the rest of a line is kept."""
    message = request()
    popped = []
    while (value := message.pop_first_value("route")) is not None:
        popped.append(value)
        assert message.values("route") == ["<sip:r1;lr>", "<sip:r2,x@h;lr>", "<sip:r3>"][len(popped) :]
    assert popped == ["<sip:r1;lr>", "<sip:r2,x@h;lr>", "<sip:r3>"]
    assert message.pop_first_value("route") is None
    assert message.pop_first_value("via") is not None
    assert message.via.host == "b"
    assert message.lines[0] == "v: SIP/2.0/TCP b ;branch=z9hG4bKb"


@pytest.mark.parametrize("count", range(6))
def test_drop_first_values(count: int) -> None:
    """As that many pops, in one pass; the rest of a line is kept, and the text agrees with the index."""
    message, popped = request(), request()
    message.drop_first_values("route", count)
    for _ in range(count):
        popped.pop_first_value("route")
    assert message.values("route") == popped.values("route") == ROUTES[count:]
    assert [str(one) for one in message.routes] == [str(one) for one in popped.routes]
    assert message.has("route") is (count < len(ROUTES))
    assert message.to_bytes() == popped.to_bytes()
    message.drop_first_values("subject", 3)
    assert message.to_bytes() == popped.to_bytes()


def test_replace_first_value() -> None:
    """Only the first value changes; without one a line is added."""
    message = request()
    message.replace_first_value("via", message.via.replace(received="192.0.2.9"))
    assert [via.host for via in message.vias] == ["a", "b", "c"]
    assert message.via.received == "192.0.2.9"
    message.replace_first_value("Subject", "x")
    assert message.get("subject") == "x"
    message.replace_first_value("Subject", "a, b")
    assert message.get("subject") == "a, b"


def test_fields_that_are_no_lists_are_not_split() -> None:
    """A comma in a Date or a Subject separates nothing."""
    message = request()
    message.set("Date", "Sat, 13 Nov 2010 23:29:00 GMT")
    assert message.values("date") == ["Sat, 13 Nov 2010 23:29:00 GMT"]
    assert message.pop_first_value("date") == "Sat, 13 Nov 2010 23:29:00 GMT"
    assert not message.has("date")


def test_set_line_and_prepend_line() -> None:
    """The unchecked way for the proxy's own fields is as visible as the others."""
    message = request()
    assert message.max_forwards == 70
    message.set_line("max-forwards", "Max-Forwards: 69")
    assert message.max_forwards == 69
    message.set_line("max-breadth", "Max-Breadth: 3")
    assert message.typed("max-breadth") == 3
    message.prepend_line("via", "Via: SIP/2.0/UDP p;branch=z9hG4bKp")
    assert message.via.host == "p"
    message.prepend_line("x-first", "X-First: 1")
    assert message.keys[0] == "x-first"


def test_note_rport() -> None:
    """RFC 3581 4, where the Via is ordinary and alone; else it says so and does nothing."""
    message = request()
    assert not message.note_rport("192.0.2.1", 1234)
    message.set("Via", "SIP/2.0/UDP a;branch=z9hG4bKa;rport")
    assert not message.via.params["rport"]
    assert message.note_rport("192.0.2.1", 1234)
    assert (message.via.rport, message.via.received) == (1234, "192.0.2.1")
    assert not message.note_rport("192.0.2.1", 1234)
    message.set("Via", "SIP/2.0/UDP a;rport;branch=z9hG4bKa")
    assert message.note_rport("192.0.2.1", 1234)
    assert message.via.branch == "z9hG4bKa"
    for odd in ("a;rport;branch=z9hG4bKa;Received=1.1.1.1", "a;branch=z9hG4bKa;rportx", "a;rport;x=y"):
        message.set("Via", f"SIP/2.0/UDP {odd}")
        assert not message.note_rport("192.0.2.1", 1234), odd


def test_typed_values_follow_edits() -> None:
    """Each of the fields kept in a slot, too."""
    message = request()
    for name, value in {
        "From": "<sip:x@h>;tag=2",
        "To": "<sip:y@h>;tag=3",
        "Call-ID": "new",
        "CSeq": "2 INVITE",
    }.items():
        message.typed(name)
        message.set(name, value)
    assert (message.from_tag, message.to_tag, message.call_id, message.cseq.number) == ("2", "3", "new", 2)
    message.append("Contact", NameAddr.build("sip:c@h"))
    assert isinstance(message.contacts, list)
    assert len(message.contacts) == 1
    message.append("Contact", "<sip:d@h>")
    assert isinstance(message.contacts, list)
    assert len(message.contacts) == 2


def test_copies_are_independent() -> None:
    """RFC 3261 16.6: each branch has its own copy."""
    message = request()
    other = message.copy()
    assert other.to_bytes() == message.to_bytes()
    other.set("To", "<sip:z@h>;tag=9")
    other.set_uri("sip:elsewhere")
    other.prepend("Via", "SIP/2.0/UDP n;branch=z9hG4bKn")
    assert message.to_bytes() == REQUEST
    assert message.to_tag is None
    assert message.via.host == "a"
    assert other.uri_text == "sip:elsewhere"


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\n", "\r", "\ud800"])
def test_no_injection(value: str) -> None:
    """No line end gets into a message, and no character that UTF-8 cannot carry."""
    message = request()
    for edit in (message.set, message.append, message.prepend, message.replace_first_value):
        with pytest.raises(LocalProtocolError):
            edit("Subject", value)
        with pytest.raises(LocalProtocolError):
            edit(f"X{value}", "x")
    assert message.to_bytes() == REQUEST


def test_names_are_written_in_their_usual_spelling() -> None:
    """Known names as their RFC writes them, others as given."""
    assert header_line("CALL-id", "x") == "Call-ID: x"
    assert header_line("l", 5) == "Content-Length: 5"
    assert header_line("x-MINE", "é") == "x-MINE: é"


NAMES = st.sampled_from(["Via", "Route", "X-A", "x-b", "Subject"])
VALUES = st.sampled_from(["a", "b, c", '"d, e", <f,g>', ""])
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "append", "prepend", "remove", "pop_first_value", "replace_first_value"]),
        NAMES,
        VALUES,
    )
)


@given(EDITS)
def test_lists_and_index_agree(edits: list[tuple[str, str, str]]) -> None:
    """After any edits the dict of first lines is what a search of the lists finds."""
    message = Request.build(
        "OPTIONS", "sip:h", [("Route", "<sip:r>, <sip:s>"), ("X-A", "1"), ("Route", "<sip:t>")]
    )
    for action, name, value in edits:
        if action in ("remove", "pop_first_value"):
            getattr(message, action)(name)
        else:
            getattr(message, action)(name, value)
        assert len(message.keys) == len(message.lines)
        for key in ("via", "route", "x-a", "x-b", "subject", "content-length"):
            lines = [line for at, line in zip(message.keys, message.lines, strict=True) if at == key]
            assert message.first_line(key) == (lines[0] if lines else None)
            assert message.has(key) == bool(lines)
