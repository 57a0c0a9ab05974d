"""No line of the route-set code can be changed or left out without a test that fails.

Theory of operation: the code is that of ``route_set.py`` whole, and of what ``dialog.py`` does with it.
Each mutant of ``tools.mutation`` (a condition turned round, a call left out, …), and besides each
statement and each element of a literal left out, is put into the functions that are there; then the
matrix is played, and after it the tests of dialogs, until one fails. None may live, but for those
in ``EQUAL``, each with the reason why it changes nothing.
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.dialog import test_dialog, test_route_matrix, test_route_set
from tools.mutation import ROOT, _replace, mutants_of, mutated

# The mutants of one file's functions are judged by these tests of the other.
FILES = {
    "sansip/dialog/route_set.py": None,
    "sansip/dialog/dialog.py": (
        "from_uac",
        "from_uas",
        "_request",
        "ack",
        "make",
        "answered",
        "refresh",
        "_party",
    ),
}
# Text of a mutant → why nothing can be seen of it.
EQUAL: dict[str, str] = {}


def _functions(tree: ast.Module, wanted: tuple[str, ...] | None) -> list[ast.FunctionDef]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [one for one in found if wanted is None or one.name in wanted]


def _notes(function: ast.FunctionDef) -> list[ast.expr]:
    """Return the annotations in ``function``, which nothing evaluates."""
    notes = [one.annotation for one in ast.walk(function) if isinstance(one, (ast.arg, ast.AnnAssign))]
    return [one for one in (*notes, function.returns) if one is not None]


def _left_out(path: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the tree of ``path`` without one statement, or one element of a literal, of a function."""
    source = ast.parse((ROOT / path).read_text())
    wanted = FILES[path]
    for number in itertools.count():
        tree = copy.deepcopy(source)
        at = -1
        for function in _functions(tree, wanted):
            annotations = {id(one) for note in _notes(function) for one in ast.walk(note)}
            for node in ast.walk(function):
                if id(node) in annotations:
                    continue
                for name in ("body", "orelse", "elts"):
                    children = getattr(node, name, None)
                    if not isinstance(children, list) or isinstance(getattr(node, "ctx", None), ast.Store):
                        continue
                    if name == "elts" and not isinstance(node, (ast.List, ast.Tuple)):
                        continue
                    for index, child in enumerate(children):
                        if isinstance(child, (ast.Raise, ast.Constant, ast.Return)) or (
                            isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
                        ):
                            continue
                        at += 1
                        if at != number:
                            continue
                        what = f"{path}:{child.lineno} left out: {ast.unparse(child)[:90]}"
                        if name == "elts":
                            del children[index]
                        else:
                            children[index] = ast.copy_location(ast.Pass(), child)
                        yield what, ast.fix_missing_locations(tree)
                        break
                    if at >= number:
                        break
                if at >= number:
                    break
            if at >= number:
                break
        if at < number:
            return


def _mutants(path: str) -> Iterator[tuple[str, ast.Module]]:
    functions = _functions(ast.parse((ROOT / path).read_text()), FILES[path])
    spans = [(one.lineno, one.end_lineno or one.lineno) for one in functions]
    for mutant in mutants_of(path):
        if mutant.inside and any(first <= mutant.line <= last for first, last in spans):
            yield f"{path}:{mutant.line} {mutant.what}", mutated(mutant)
    yield from _left_out(path)


def _tests(module: ModuleType) -> Iterator[Callable[[], Any]]:
    """Yield what pytest would call of ``module``, its parameters filled in."""
    holders = [vars(module), *(vars(one) for key, one in vars(module).items() if key.startswith("Test"))]
    for holder in holders:
        for name, function in holder.items():
            if not name.startswith("test_"):
                continue
            first = () if holder is vars(module) else (None,)
            given: list[list[dict[str, Any]]] = []
            for mark in getattr(function, "pytestmark", []):
                names, values = mark.args
                names = [one.strip() for one in names.split(",")] if isinstance(names, str) else list(names)
                given.append(
                    [dict(zip(names, one if len(names) > 1 else (one,), strict=True)) for one in values]
                )
            for chosen in itertools.product(*given):
                arguments = {key: value for one in chosen for key, value in one.items()}
                yield partial(function, *first, **arguments)


def _lives() -> bool:
    """Whether all tests pass."""
    try:
        for shape in test_route_matrix.SHAPES:
            test_route_matrix.check(shape)
            test_route_matrix.test_every_response_repeats_the_route_set(shape)
        for module in (test_route_set, test_dialog):
            for test in _tests(module):
                test()
    except (Exception, pytest.fail.Exception):
        return False
    return True


@pytest.mark.parametrize("path", FILES)
def test_no_mutant_lives(path: str) -> None:
    """The matrix would be worth little if the code could be wrong without its noticing."""
    name = path.removesuffix(".py").replace("/", ".")
    original = ast.parse((Path(ROOT) / path).read_text())
    assert _lives()
    count = 0
    living = []
    try:
        for what, tree in _mutants(path):
            count += 1
            _replace(name, tree)
            if _lives() and not any(text in what for text in EQUAL):
                living.append(what)
    finally:
        _replace(name, original)
    assert not living, "\n".join(living)
    # A selection that finds nothing would prove nothing.
    assert count > 20
