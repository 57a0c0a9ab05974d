"""Node selectors (RFC 4825 6.3) and namespace bindings (6.4): read by the grammar, and in linear time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.modules.xcap.faults import Fault
from sansip.modules.xcap.selector import (
    XML,
    AttributeName,
    Selector,
    Step,
    Terminal,
    parse_bindings,
    parse_selector,
)

BOUND = {"a": "urn:a", "xml": XML}


def read(text: str) -> Selector:
    return parse_selector(text, BOUND, "urn:d")


def status_of(parse: Callable[[str], object], text: str) -> int:
    """Return 200 for a text that ``parse`` reads."""
    try:
        parse(text)
    except Fault as fault:
        return fault.status
    return 200


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("list", Step(("urn:d", "list"))),
        ("a:list", Step(("urn:a", "list"))),
        ("*", Step(None)),
        ("*[3]", Step(None, 3)),
        ("list[0]", Step(("urn:d", "list"), 0)),
        ("list[007]", Step(("urn:d", "list"), 7)),
        ('list[@name="l1"]', Step(("urn:d", "list"), None, (("", "name"), "l1"))),
        ("list[@name='l\"1']", Step(("urn:d", "list"), None, (("", "name"), 'l"1'))),
        ('list[@a:name="x/y]"]', Step(("urn:d", "list"), None, (("urn:a", "name"), "x/y]"))),
        ('*[2][@id="&quot;&amp;&#65;&#x42;"]', Step(None, 2, (("", "id"), '"&AB'))),
        ("caf\u00e9", Step(("urn:d", "caf\u00e9"))),
    ],
)
def test_a_step(text: str, step: Step) -> None:
    """RFC 4825 6.3: by name, position, attribute; an attribute without a prefix has no namespace."""
    assert read(text).steps == (step,)
    assert read(f"*/{text}").steps == (Step(None), step)


def test_terminals() -> None:
    """An attribute, or the namespaces in scope."""
    assert read("list/@name").terminal == AttributeName(("", "name"), "")
    assert read("list/@a:name").terminal == AttributeName(("urn:a", "name"), "a")
    assert read("list/@xml:lang").terminal == AttributeName((XML, "lang"), "xml")
    assert read("list/namespace::*").terminal is Terminal.NAMESPACES
    assert read("list/list").terminal is Terminal.ELEMENT
    assert read('list[@n="a/b"]/entry').texts == ('list[@n="a/b"]', "entry")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "list/",
        "/list",
        "//list",
        "@name",
        "namespace::*",
        "list[1]x",
        "list[]",
        "list[-1]",
        "list[1.0]",
        "list[last()]",
        "list[position()=1]",
        "child::list",
        "list|list",
        "..",
        ".",
        "list/text()",
        "list[@name]",
        'list[@name="a"][1]',
        "list[1][2]",
        'list[@name="a"][@uri="b"]',
        'list[ @name="a"]',
        "list[@name=a]",
        'list[@name="a]',
        'list[@name="<"]',
        'list[@name="&x;"]',
        'list[@name="&#0;"]',
        'list[@name="&"]',
        "list/@name/x",
        "list/@name/@name",
        "list/namespace::*/x",
        "1list",
        "-list",
        "a:b:c",
        "list[9999999999]",
        "/".join(["*"] * 33),
        "list/namespace::a",
        "descendant::*",
        "id('x')",
        "list/@",
        "list/@*",
    ],
)
def test_what_is_no_selector(text: str) -> None:
    """RFC 4825 8: an extension that the server does not have is a 404; no XPath gets further."""
    with pytest.raises(Fault) as fault:
        read(text)
    assert fault.value.status == 404


@pytest.mark.parametrize(
    "text", ["b:list", "list/b:x", "list/@b:x", 'list[@b:x="1"]', "xmlns:x", "list/@xmlns:x"]
)
def test_a_prefix_that_is_not_bound(text: str) -> None:
    """RFC 4825 8: 400."""
    with pytest.raises(Fault) as fault:
        read(text)
    assert fault.value.status == 400


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("", {}),
        ("  ", {}),
        ("xmlns(a=urn:a)", {"a": "urn:a"}),
        ("xmlns(a=urn:a)xmlns(b=urn:b)", {"a": "urn:a", "b": "urn:b"}),
        (" xmlns( a = urn:a ) \n xmlns(b=urn:b) ", {"a": "urn:a", "b": "urn:b"}),
        ("xpointer(/a[1]/b(c))xmlns(a=urn:a)", {"a": "urn:a"}),
        ("x:other(^)^(^^)xmlns(a=urn:a)", {"a": "urn:a"}),
        ("xmlns(a=urn:a^)b)", {"a": "urn:a)b"}),
        ("xmlns(a=urn:x(y))", {"a": "urn:x(y)"}),
        ("element(x/1)", {}),
        ("intro", {}),
        ("xmlns(xml=urn:evil)", {}),
        ("xmlns(a=urn:a)xmlns(a=urn:b)", {"a": "urn:b"}),
    ],
)
def test_bindings(text: str, bound: dict[str, str]) -> None:
    """RFC 4825 6.4: other schemes are ignored; the prefix ``xml`` is always bound."""
    assert parse_bindings(text) == {"xml": XML, **bound}


@pytest.mark.parametrize(
    "text",
    [
        "xmlns(a=urn:a",
        "xmlns(a)",
        "xmlns(=urn:a)",
        "xmlns(1=urn:a)",
        "(",
        ")",
        "xmlns(a=^x)",
        "a b",
        "xmlns(a=b)c",
        "".join(f"xmlns(p{n}=u)" for n in range(40)),
        "xmlns(a=u v)",
    ],
)
def test_a_query_that_is_no_xpointer(text: str) -> None:
    """400, so that its author notices."""
    with pytest.raises(Fault) as fault:
        parse_bindings(text)
    assert fault.value.status == 400


@given(st.text(alphabet="ab:*[]@=\"'/1&;#^()x ", max_size=60))
def test_any_text(text: str) -> None:
    """A stranger's text is a selector, a 404 or a 400, and nothing else."""
    for parse in (read, parse_bindings):
        assert status_of(parse, text) in (200, 400, 404)


NAMES = st.text(alphabet="abcxyz-._", min_size=1, max_size=6).filter(lambda name: name[0].isalpha())
STEPS = st.builds(
    lambda name, position, attribute: (
        name
        + ("" if position is None else f"[{position}]")
        + ("" if attribute is None else f'[@{attribute[0]}="{attribute[1]}"]')
    ),
    NAMES | st.just("*"),
    st.none() | st.integers(0, 999),
    st.none() | st.tuples(NAMES, st.text(alphabet="abc/][@'=", max_size=8)),
)


@given(st.lists(STEPS, min_size=1, max_size=8))
def test_what_is_written_is_read(steps: list[str]) -> None:
    """Every selector of the grammar is read as its steps."""
    assert read("/".join(steps)).texts == tuple(steps)


def test_cost_is_linear() -> None:
    """16 kB, as long as a request line can be, of what makes patterns go back and forth."""
    for piece in ("a", "a:", "*[1]", 'a[@b="', "&#", "((((", "^(", "xmlns(a=", " "):
        text = piece * (16_000 // len(piece))
        for parse in (read, parse_bindings):
            assert status_of(parse, text) in (200, 400, 404)
