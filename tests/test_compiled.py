"""hatch_build.py: what must not be compiled is not.

Theory of operation: mypyc makes native classes, and Python refuses to make an object of an interpreted class
that derives from one ("interpreted classes cannot inherit from compiled"). Nothing fails before that object
is wanted, so the sources are read here: the compiled build is not there in most runs. Nor does mypyc keep
more of an annotation than a plain type, and the configuration is read by annotations.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hatch_build import COMPILED, COMPILED_ADAPTERS, COMPILED_SERVER, INTERPRETED
from sansip_server.config.schema import Settings

ROOT = Path(__file__).parent.parent
CORE = ROOT / "sansip"
SOURCES = ("sansip", "adapters", "server", "conformance", "examples")
# No object of it is made in the compiled build: ``LAZY`` is False there.
LAZY_ALONE = {"UnmadeRequest"}


def compiled() -> set[Path]:
    """Return the files that the compiled build compiles."""
    found = {path for pattern in COMPILED for path in CORE.glob(pattern) if path.name != "__init__.py"}
    elsewhere = {ROOT / "server" / "sansip_server" / name for name in COMPILED_SERVER}
    elsewhere |= {ROOT / "adapters" / name for name in COMPILED_ADAPTERS}
    return (found - {CORE / name for name in INTERPRETED}) | elsewhere


def classes(path: Path) -> Iterator[tuple[ast.ClassDef, set[str]]]:
    """Yield each class of a file with the names of its bases.

    Those in a function are made on demand: ``wire/unread.py`` and ``proxy/unseen.py`` have no use for them in
    the compiled build.
    """
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            bases = (base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
            yield node, {ast.unparse(base).rpartition(".")[2] for base in bases}


def is_from(path: Path, base: str, compiled: Path) -> bool:
    """Whether the file ``path`` has the name ``base`` from ``compiled``, or from a folder above it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and any((one.asname or one.name) == base for one in node.names):
            name = node.module or ""
            package = name.partition(".")[0]
            folder = {"sansip": ROOT, "sansip_server": ROOT / "server"}.get(
                package, ROOT / "adapters" / package.removeprefix("sansip_")
            )
            module = folder / name.replace(".", "/")
            return compiled.with_suffix("") == module or compiled.is_relative_to(module)
    return False


def is_open(node: ast.ClassDef) -> bool:
    """Whether a class says that interpreted ones may derive from it (``sansip.native``)."""
    return any(
        isinstance(one, ast.keyword) and one.arg == "allow_interpreted_subclasses"
        for decorator in node.decorator_list
        for one in ast.walk(decorator)
    )


def test_nobody_derives_from_a_compiled_class() -> None:
    """``SharedPending`` did, and no worker of the compiled build came up."""
    files = compiled()
    # A Protocol is no native class, nor is an exception.
    native = {
        node.name: path
        for path in files
        for node, bases in classes(path)
        if "Protocol" not in bases and not node.name.endswith("Error") and not is_open(node)
    }
    assert len(native) > 100
    derived = [
        f"{path.relative_to(ROOT)}: {node.name}({base}), and {native[base].relative_to(ROOT)} is compiled"
        for folder in SOURCES
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path not in files
        for node, bases in classes(path)
        if node.name not in LAZY_ALONE
        for base in sorted(bases & native.keys())
        if is_from(path, base, native[base])
    ]
    assert derived == []


def is_final_floats(node: ast.stmt) -> bool:
    """Whether ``node`` gives a name, once for all, a tuple of numbers with a point."""
    return (
        isinstance(node, ast.AnnAssign)
        and ast.unparse(node.annotation).startswith("Final")
        and isinstance(node.value, ast.Tuple)
        and any(isinstance(one, ast.Constant) and isinstance(one.value, float) for one in node.value.elts)
    )


def test_what_is_compiled_is_there() -> None:
    """A file that was moved would be left out without a word."""
    assert [str(path) for path in compiled() if not path.is_file()] == []
    assert all(any(CORE.glob(pattern)) for pattern in COMPILED)


def test_no_final_tuple_of_floats() -> None:
    """mypyc forgets to set it: a failing NOTIFY raised NameError, "value for final name was not set"."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(compiled())
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if is_final_floats(node)
    ]
    assert found == []


def test_named_tuples_have_their_types() -> None:
    """The types of their fields are read when the class is made: names for the type checker are not there."""
    lost = []
    for path in sorted(compiled()):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        checking = (
            node for node in body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node)
        )
        unseen = {
            one.asname or one.name
            for node in checking
            for line in node.body
            # Of compiled classes mypyc itself knows.
            if isinstance(line, ast.ImportFrom) and not (line.module or "").startswith("sansip")
            for one in line.names
        }
        for node, bases in classes(path):
            fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and "NamedTuple" in bases]
            names = {
                one.id for field in fields for one in ast.walk(field.annotation) if isinstance(one, ast.Name)
            }
            lost += [f"{path.relative_to(ROOT)}: {node.name}: {name}" for name in sorted(names & unseen)]
    assert lost == []


def settings(kind: Any, seen: dict[type, dict[str, Any]]) -> dict[type, dict[str, Any]]:
    """Return the annotations of the dataclass ``kind``, and of all that it names."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind not in seen:
        seen[kind] = get_type_hints(kind)
        for hint in seen[kind].values():
            settings(hint, seen)
    for one in get_args(kind):
        settings(one, seen)
    return seen


def test_settings_keep_their_types() -> None:
    """``max_contacts = 5`` was refused in the compiled build: "expected <class 'type'>"."""
    files = compiled()
    found = settings(Settings, {})
    assert len(found) > 10
    lost = [
        f"{kind.__name__}.{name}: {hint}"
        for kind, hints in found.items()
        if Path(inspect.getfile(kind)) in files
        for name, hint in hints.items()
        if hint not in (bool, int, float, str, bytes)
    ]
    assert lost == []
