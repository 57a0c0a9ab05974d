"""Header field names."""

from __future__ import annotations

import pytest

from sansip.errors import LocalProtocolError
from sansip.wire import COMPACT, DISPLAY, display_name, header_key
from sansip.wire.names import SPELLINGS


def test_every_spelling_leads_to_its_key() -> None:
    """RFC 3261 7.3.1, 7.3.3: names have no case, compact forms mean the long ones."""
    for key, name in DISPLAY.items():
        for spelling in (name, name.upper(), key, name.swapcase()):
            assert header_key(spelling) == key
        assert display_name(key) == name
    for short, key in COMPACT.items():
        assert header_key(short) == header_key(short.upper()) == key
        assert key in DISPLAY


def test_no_name_hides_another() -> None:
    """Each spelling has one meaning."""
    assert set(SPELLINGS.values()) == set(DISPLAY)


def test_unknown_names() -> None:
    """They keep their spelling, and are known in lower case."""
    assert header_key("X-Custom") == "x-custom"
    assert display_name("X-CusTom") == "X-CusTom"


@pytest.mark.parametrize("name", ["", "a b", "a:", "Via\r\nEvil", "é", "a\n"])
def test_names_that_are_none(name: str) -> None:
    """A name cannot smuggle a colon or a line end."""
    with pytest.raises(LocalProtocolError):
        header_key(name)
