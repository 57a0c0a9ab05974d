"""A keyed hash is hashlib's, whether C or Python makes it."""

from __future__ import annotations

import shutil
from hashlib import blake2b
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sansip
from sansip import keyed as module
from sansip.keyed import keyed, python_keyed
from tests.missing import missing
from tests.sanitized import run_sanitized

ROOT = Path(sansip.__file__).parents[1]


def load(path: Path) -> Any:
    loader = ExtensionFileLoader("sansip._keyed", str(path))
    loaded = module_from_spec(spec_from_loader("sansip._keyed", loader))
    loader.exec_module(loaded)
    return loaded


# As it is, and as it runs on processors without AVX2.
WAYS = ((), ("-DBY_WORDS",))


@pytest.fixture(scope="session", params=WAYS, ids=["as it is", "by words"])
def in_c(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The function in C: the installed one, else compiled for these tests."""
    if module._C is not None and not request.param:
        return module._C
    if shutil.which("cc") is None:
        missing("no C compiler")
    from hatch_build import compile_hashes

    strict = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers")
    return load(compile_hashes(ROOT, tmp_path_factory.mktemp("keyed"), *strict, *request.param)).keyed


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 255, 256, 257, 1000])
@pytest.mark.parametrize("key", [b"", b"k", b"0123456789abcdef", b"k" * 64])
def test_as_hashlib(in_c: Any, key: bytes, size: int) -> None:
    """RFC 7693 3.3: the last block differs from the others, and so does a key without a text."""
    text = "t" * size
    for octets in (1, 7, 8, 33, 64):
        expected = blake2b(text.encode(), key=key, digest_size=octets, person=b"sansip-test").hexdigest()
        assert in_c(key, octets, b"sansip-test")(text) == expected
        assert python_keyed(key, octets, b"sansip-test")(text.encode()) == expected


@given(st.binary(max_size=64), st.integers(1, 64), st.binary(max_size=16), st.binary(max_size=400))
def test_both_alike(in_c: Any, key: bytes, size: int, person: bytes, octets: bytes) -> None:
    """Nodes with and without the module read each other's marks and tokens."""
    one, other = in_c(key, size, person), python_keyed(key, size, person)
    text = octets.decode("utf-8", "surrogateescape")
    assert one(octets) == one(text) == other(octets) == other(text)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=90), min_size=1, max_size=7))
def test_several_texts(in_c: Any, texts: list[str]) -> None:
    """Marks cover fields, one below the other, and others with the same key read them."""
    for size in (6, 64):
        expected = python_keyed(b"key", size)("\n".join(texts))
        assert in_c(b"key", size, b"")(*texts) == expected
        assert python_keyed(b"key", size)(*texts) == expected


def test_one_hash_leaves_no_trace_in_the_next(in_c: Any) -> None:
    """RFC 3261 19.3: tokens come of one key and a number."""
    for hashed in (in_c(b"key", 8, b""), keyed(b"key", 8), python_keyed(b"key", 8)):
        first = hashed("first")
        assert hashed("second") != first
        assert hashed("first") == first


def test_what_it_refuses_to_be_given(in_c: Any) -> None:
    """A mistake of ours is an exception, and no octet of somebody else's memory."""
    for key, size, person in ((b"k" * 65, 8, b""), (b"k", 0, b""), (b"k", 65, b""), (b"k", 8, b"p" * 17)):
        with pytest.raises(ValueError):
            in_c(key, size, person)
        with pytest.raises(ValueError):
            python_keyed(key, size, person)
    hashed = in_c(b"k", 8, b"")
    for wrong in ((None,), (7,), (bytearray(b"x"),), ("a", b"b"), (b"a", b"b"), ("a", None), ()):
        with pytest.raises(TypeError):
            hashed(*wrong)
    with pytest.raises(UnicodeEncodeError):
        hashed("\ud800")


SANITIZED = """
import sys
from pathlib import Path
from sansip.keyed import python_keyed
from tests.test_keyed import load
in_c = load(Path(sys.argv[1])).keyed
for size in range(400):
    for key in (b"", b"k" * (size % 65)):
        given = key, 1 + size % 64, b"p" * (size % 17)
        one, other = in_c(*given), python_keyed(*given)
        assert one("t" * size) == other("t" * size) and one("é" * size) == other("é" * size)
        assert one("t" * size, "é", "") == other("t" * size, "é", "")
print("sanitized")
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", WAYS)
def test_under_sanitizers(tmp_path: Path, way: tuple[str, ...]) -> None:
    """What a peer writes is hashed: no octet beside it is read."""
    from hatch_build import compile_hashes

    run_sanitized(
        lambda root, folder, *flags: compile_hashes(root, folder, *way, *flags), tmp_path, SANITIZED
    )
