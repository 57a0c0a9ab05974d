"""Documents made by chance: elements, attributes, namespaces, text that looks like tags."""

from __future__ import annotations

from hypothesis import strategies as st

_NAMES = st.sampled_from(["a", "b", "list", "p:a", "q:b"])
_SPACE = st.sampled_from(["", " ", "\n  ", "\t"])
_VALUES = st.sampled_from(["", "1", "x>y", "a&amp;b", "&#x41;", "  two  ", "]]&gt;", "ü"])
_TEXT = st.sampled_from(["", "\n ", "text", "<!-- <x> -->", "<![CDATA[</a>]]>", "<?pi <y>?>", "&lt;", "ü"])


@st.composite
def elements(draw: st.DrawFn, depth: int = 2) -> str:
    """An element as text; the prefixes p and q are bound outside."""
    name = draw(_NAMES)
    attributes = ""
    for one in draw(st.lists(st.sampled_from(["i", "j", "p:i"]), max_size=3, unique=True)):
        quote = draw(st.sampled_from("\"'"))
        space = draw(st.sampled_from([" ", "\n", "  "]))
        attributes += f"{space}{one}{draw(_SPACE)}={draw(_SPACE)}{quote}{draw(_VALUES)}{quote}"
    if draw(st.booleans()) and draw(st.booleans()):
        attributes += f' xmlns="{draw(st.sampled_from(["urn:d", "urn:e", ""]))}"'
    children = draw(st.lists(elements(depth=depth - 1), max_size=2)) if depth else []
    if not children and draw(st.booleans()):
        return f"<{name}{attributes}{draw(_SPACE)}/>"
    inner = draw(_TEXT) + "".join(child + draw(_TEXT) for child in children)
    return f"<{name}{attributes}{draw(_SPACE)}>{inner}</{name}{draw(_SPACE)}>"


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """A document as octets."""
    head = draw(st.sampled_from(["", '<?xml version="1.0" encoding="UTF-8"?>\n', "<!-- c -->"]))
    inner = draw(_TEXT) + "".join(one + draw(_TEXT) for one in draw(st.lists(elements(), max_size=3)))
    return f'{head}<r xmlns="urn:d" xmlns:p="urn:p" xmlns:q="urn:q">{inner}</r>\n'.encode()
