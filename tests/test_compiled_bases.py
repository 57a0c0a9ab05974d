"""hatch_build.py: what is compiled is derived from by compiled classes alone.

Theory of operation: mypyc makes native classes, and Python refuses to make an object of an interpreted class
that derives from one ("interpreted classes cannot inherit from compiled"). Nothing fails before that object
is wanted, so the sources are read here: the compiled build is not there in most runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from hatch_build import COMPILED, INTERPRETED

ROOT = Path(__file__).parent.parent
CORE = ROOT / "sansip"
SOURCES = ("sansip", "adapters", "server", "conformance", "examples")


def compiled() -> set[Path]:
    """Return the files that the compiled build compiles."""
    found = {path for pattern in COMPILED for path in CORE.glob(pattern) if path.name != "__init__.py"}
    return found - {CORE / name for name in INTERPRETED}


def classes(path: Path) -> Iterator[tuple[ast.ClassDef, set[str]]]:
    """Yield each class of a file with the names of its bases.

    Those in a function are made on demand: ``wire/unread.py`` and ``proxy/unseen.py`` have no use for them in
    the compiled build.
    """
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            bases = (base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
            yield node, {ast.unparse(base).rpartition(".")[2] for base in bases}


def test_nobody_derives_from_a_compiled_class() -> None:
    """``SharedPending`` did, and no worker of the compiled build came up."""
    files = compiled()
    # A Protocol is no native class, nor is an exception.
    native = {
        node.name: path
        for path in files
        for node, bases in classes(path)
        if "Protocol" not in bases and not node.name.endswith("Error")
    }
    assert len(native) > 100
    derived = [
        f"{path.relative_to(ROOT)}: {node.name}({base}), and {native[base].relative_to(ROOT)} is compiled"
        for folder in SOURCES
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path not in files
        for node, bases in classes(path)
        for base in sorted(bases & native.keys())
    ]
    assert derived == []
