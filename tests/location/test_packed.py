"""Packed records, from any writer: the values that come out equal those that went in."""

from __future__ import annotations

import math
import shutil
from dataclasses import fields, replace
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sansip
from sansip.location import Binding, Source
from sansip.location import packed as module
from sansip.location.packed import pack, unpack
from sansip.transport.transports import TRANSPORTS
from tests.missing import missing
from tests.sanitized import run_sanitized

in_python: Any = module.plain_octets
ROOT = Path(sansip.__file__).parents[1]

AOR = "sip:bob@biloxi.test"
PLAIN = Binding(AOR, "sip:bob@192.0.2.4", 3600.0, "call-1", 7)
# Another value than PLAIN's for each field but the key.
OTHERS: dict[str, list[Any]] = {
    "contact": ["", "sip:x@y", "sip:\udcff@y", "a\nb", "a\0b", "\ud800", "☎" * 100],
    "expires_at": [math.inf, 0.0, 1e18, 3600.0000001],
    "call_id": ["", "\n", "x" * 70_000],
    "cseq": [0, 2**31 - 1, 2**32 - 1, 2**32, 2**70, -1],
    "q": [0, 1000, 350, -1, 70_000],
    "registered_at": [-5.0, 1.5],
    "refreshed_at": [2.5],
    "path": [("<sip:a;lr>",), ("<sip:a;lr>", "<sip:b;lr>"), ("",), ("\n",)],
    "instance": ["", "urn:uuid:1", "\n"],
    "reg_id": [0, 1, 2**31 - 1, 9_999_999_999, -1],
    "params": [";a=b", "\n"],
    "flow": [0, 1, 32_767, 32_768, -1, "flow", ("tcp", 7), ("tcp", ("nested", 1))],
    "received": [
        Source("udp", "203.0.113.9", 1024),
        Source("sctp", "fe80::1%eth0", 65_535),
        Source("wss", "\n", 1),
        Source("ufo", "192.0.2.1", 1),
        Source("udp", "192.0.2.1", 70_000),
    ],
    "user_agent": ["", "Phone \udcff", "\n"],
}


def test_each_field_of_a_binding_is_tried_here() -> None:
    """A field that is added to Binding and not to the layout would be lost without a word."""
    assert OTHERS.keys() == {field.name for field in fields(Binding)} - {"aor"}


@pytest.mark.parametrize("name", OTHERS)
def test_each_value_comes_back(name: str) -> None:
    """Alone, and between two others of the same record."""
    for value in OTHERS[name]:
        changed = replace(PLAIN, **{name: value})
        assert unpack(AOR, pack((changed,))) == (changed,)
        three = (replace(PLAIN, flow=("tls", 1)), changed, replace(PLAIN, flow=("tls", 2), path=("<sip:c>",)))
        assert unpack(AOR, pack(three)) == three


def test_phones_are_packed() -> None:
    """The values that phones send are kept as octets, not as objects; a connection stands beside them."""
    assert isinstance(pack((PLAIN, replace(PLAIN, flow=3))), bytes)
    packed = pack((replace(PLAIN, flow=("tcp", 1)), PLAIN, replace(PLAIN, flow=("tcp", 2))))
    assert isinstance(packed[0], bytes)
    assert packed[1:] == (("tcp", 1), ("tcp", 2))


def test_listeners_stay_numbers() -> None:
    """The flow of a datagram is compared with a listener's number, and looked up by it."""
    (binding,) = unpack(AOR, pack((replace(PLAIN, flow=5),)))
    assert type(binding.flow) is int


text = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
bindings = st.builds(
    Binding,
    st.just(AOR),
    text,
    st.floats(allow_nan=False),
    text,
    st.integers(-(2**40), 2**40),
    st.none() | st.integers(-(2**20), 2**20),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    st.lists(text, max_size=3).map(tuple),
    st.none() | text,
    st.none() | st.integers(-(2**40), 2**40),
    text,
    st.none() | st.integers(-(2**20), 2**20) | st.tuples(st.text(), st.integers()),
    st.none() | st.builds(Source, st.sampled_from([*TRANSPORTS, "ufo"]), text, st.integers(-(2**20), 2**20)),
    st.none() | text,
)


@given(st.lists(bindings, min_size=1, max_size=4).map(tuple))
def test_any_record_comes_back(record: tuple[Binding, ...]) -> None:
    """Records with any values come back unchanged."""
    assert unpack(AOR, pack(record)) == record


def load(path: Path) -> Any:
    loader = ExtensionFileLoader("sansip.location._packed", str(path))
    loaded = module_from_spec(spec_from_loader("sansip.location._packed", loader))
    loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="session")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The function in C: the installed one, else compiled for these tests."""
    if module._C is not None:
        return module._C
    if shutil.which("cc") is None:
        missing("no C compiler")
    from hatch_build import compile_records

    strict = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers")
    return load(compile_records(ROOT, tmp_path_factory.mktemp("packed"), *strict)).plain


TEXTS = st.text(st.characters(max_codepoint=127, exclude_characters="\n"), max_size=8)
VALUES = st.tuples(
    st.sampled_from(["sip:a@h", "sip:a@hh", "sip:\udcff@h", "a\nb", ""]) | TEXTS,
    st.sampled_from(["c", "cc", "", "\n"]) | TEXTS,
    st.sampled_from([0, 1, 7, 2**32 - 1, 2**32, -1, 2**70]),
    st.sampled_from([3_600.0, 100.0, math.inf, 0.0]),
    st.sampled_from([50.0, 100.0, 4_000.0]),
    st.sampled_from([0, 1, 32_767, 32_768, -1, -32_769]),
    st.sampled_from([None, "192.0.2.7", "", "\n"]),
    st.integers(-1, 256),
    st.sampled_from([0, 5060, 65_535, 65_536, -1]),
    st.sampled_from([None, "", "Phone", "☎", "\n"]),
)


@given(VALUES, VALUES, st.sampled_from(["", "reg-id", "longer", "shorter"]))
def test_both_make_the_same(in_c: Any, before: Any, after: Any, spoilt: str) -> None:
    """Also of a record that another writer made: reg_id, octets that are missing, or too many."""
    held: bytes | None = None
    first = in_python(*before, None)
    if first is not None:
        held = first[0]
        if spoilt == "reg-id":
            held = held[:43] + bytes([held[43] & 15]) + held[44:]
        elif spoilt:
            held = held + b"x" if spoilt == "longer" else held[:-1]
    if held is not None and len(held) < 44:
        return
    made = in_c(*after, held)
    assert made is NotImplemented or made == in_python(*after, held)


def test_what_is_left_to_the_module_in_c(in_c: Any) -> None:
    """Nearly all phones: were these NotImplemented, nobody would see but the clock."""
    values: tuple[Any, ...] = ("sip:a@h", "c", 7, 3_600.0, 50.0, 0, None, 0, 0, "Phone")
    octets, expired, hidden = in_c(*values, None)
    assert (octets, expired, hidden) == in_python(*values, None)
    assert in_c(*values, octets) is None
    # Another Call-ID, and a phone behind a NAT.
    values = ("sip:a@h", "d", 7, 7_200.0, 100.0, 0, "192.0.2.7", 0, 1_024, "Phone")
    assert in_c(*values, octets) == in_python(*values, octets) != None  # noqa: E711 - a tuple is compared


class Text(str):
    """A text, and yet no plain one."""


def test_what_it_is_not_made_for(in_c: Any) -> None:
    """Python decides there; a mistake of ours is an exception."""
    values: tuple[Any, ...] = ("sip:a@h", "c", 7, 3_600.0, 50.0, 0, None, 0, 0, None)
    for place, wrong in ((0, None), (1, 7), (2, "7"), (3, 3_600), (5, None), (6, b"h"), (9, 1)):
        changed = (*values[:place], wrong, *values[place + 1 :])
        assert in_c(*changed, None) is NotImplemented
    # Such a text is not in one block of memory, like those of old that had to be unfolded first.
    assert in_c(Text("sip:a@h"), *values[1:], None) is NotImplemented
    for held in (b"", b"x" * 43, bytearray(60), "text"):
        assert in_c(*values, held) is NotImplemented
    with pytest.raises(TypeError):
        in_c(*values)


SANITIZED = """
import sys
from pathlib import Path
from tests.location.test_packed import in_python, load
in_c = load(Path(sys.argv[1])).plain
for size in range(70):
    texts = "s" * size, "c" * (size % 7), "h" * (size % 3) or None, "a" * (size % 5)
    values = *texts[:2], 7, 3600.0, 50.0, 0, texts[2], 0, 0, texts[3]
    later = *texts[:2], 8, *values[3:]
    made = in_c(*values, None)
    assert made == in_python(*values, None)
    for end in range(44, len(made[0]) + 1):
        held = made[0][:end]
        assert in_c(*later, held) == in_python(*later, held)
    # Its number of octets is what another writer says.
    for lie in (0, 1, 2**31, 2**32 - 1):
        held = made[0][:28] + lie.to_bytes(4, "little") + made[0][32:]
        assert in_c(*later, held) == in_python(*later, held)
print("sanitized")
"""


@pytest.mark.timeout(300)
def test_under_sanitizers(tmp_path: Path) -> None:
    """Records come from stores, too: no octet beside one is read."""
    from hatch_build import compile_records

    run_sanitized(compile_records, tmp_path, SANITIZED)
