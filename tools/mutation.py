"""Breaks the core on purpose and sees whether the conformance suite notices.

Theory of operation: a mutant is one small change of one syntax tree: a condition inverted, a
comparison shifted, a call left out, a row of a state table ignored. For each mutant a child
process puts the change into the core and plays the suite until a trace fails (killed), an
exception or a timeout ends it (killed), or all pass (survived). The sample is drawn with a seed,
so a run can be repeated. Annotations, messages of exceptions, assertions, imports, decorators and
defaults of parameters are not changed.

    python tools/mutation.py --sample 500 --seed 1 --jobs 2 > mutants.txt
    python tools/mutation.py --only sansip/proxy/branch.py:118

Only POSIX: it forks.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
TARGETS = ("sansip/transaction", "sansip/proxy")
FOLDERS = ("conformance", "server", "adapters/asyncio", "adapters/sockets", ".")
# Seconds of processor time, so that a busy machine kills no mutant; and of the clock, for mutants that wait.
CPU_TIME = 60
TIMEOUT = 900.0

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
}  # fmt: skip


@dataclass(slots=True)
class Mutant:
    """One change.

    ``number`` counts the places in the file; ``what`` describes it; ``inside`` says
    whether it is within a function.
    """

    path: str
    line: int
    number: int
    what: str
    inside: bool = False

    @property
    def name(self) -> str:
        """``file:line#number``."""
        return f"{self.path}:{self.line}#{self.number}"


class Mutator(ast.NodeTransformer):
    """Visits every place where a change is possible; changes place ``wanted``, or only lists them."""

    def __init__(self, path: str, wanted: int | None = None) -> None:
        self.path = path
        self.wanted = wanted
        self.found: list[Mutant] = []
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        # Decorators and defaults stay unchanged: they are not part of the function's body.
        self._depth += 1
        node.body = [self.visit(one) for one in node.body]
        self._depth -= 1
        return node

    def _here(self, node: ast.AST, what: str) -> bool:
        number = len(self.found)
        self.found.append(Mutant(self.path, getattr(node, "lineno", 0), number, what, self._depth > 0))
        return number == self.wanted

    # Code that never runs, and texts for people, stay unchanged.

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST:
        return node

    visit_ImportFrom = visit_Import  # type: ignore[assignment]  # noqa: N815 (what ast calls for another node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if any(name.startswith("__") or name in ("machine", "first_state") for name in names):
            return node
        attribute = any(isinstance(target, ast.Attribute) for target in node.targets)
        if attribute and self._here(node, f"left out: {ast.unparse(node)}"):
            return ast.copy_location(ast.Pass(), node)
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Constant):
            return node
        if isinstance(node.value, ast.Call) and self._here(node, f"left out: {ast.unparse(node)}"):
            return ast.copy_location(ast.Pass(), node)
        self.generic_visit(node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node
        if self._here(node, f"turned round: if {ast.unparse(node.test)}"):
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            return node
        self.generic_visit(node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        other = _COMPARE.get(type(node.ops[0]))
        if other is not None and len(node.ops) == 1 and self._here(node, f"shifted: {ast.unparse(node)}"):
            node.ops = [other()]
            return node
        self.generic_visit(node)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        if self._here(node, f"and for or: {ast.unparse(node)}"):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            return node
        self.generic_visit(node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        other = _ARITHMETIC.get(type(node.op))
        if other is not None and self._here(node, f"other operator: {ast.unparse(node)}"):
            node.op = other()
            return node
        self.generic_visit(node)
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        for at, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
            if isinstance(key, ast.Tuple) and isinstance(value, ast.Tuple):
                if self._here(value, f"row ignored: {ast.unparse(key)}: {ast.unparse(value)}"):
                    node.values[at] = ast.copy_location(ast.Name("IGNORE", ast.Load()), value)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool):
            if self._here(node, f"turned round: {node.value}"):
                return ast.copy_location(ast.Constant(not node.value), node)
        elif isinstance(node.value, (int, float)) and self._here(node, f"one more: {node.value}"):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        if node.value is not None and not isinstance(node.value, ast.Constant):
            if self._here(node, f"returns None: {ast.unparse(node)}"):
                node.value = ast.copy_location(ast.Constant(None), node.value)
                return node
        self.generic_visit(node)
        return node


def mutants_of(path: str) -> list[Mutant]:
    """Return every mutant of the file at ``path``."""
    mutator = Mutator(path)
    mutator.visit(ast.parse((ROOT / path).read_text()))
    return mutator.found


def mutated(mutant: Mutant) -> ast.Module:
    """Return the changed syntax tree."""
    tree = ast.parse((ROOT / mutant.path).read_text())
    changed = Mutator(mutant.path, mutant.number).visit(copy.deepcopy(tree))
    ast.fix_missing_locations(changed)
    module: ast.Module = changed
    return module


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module from a syntax tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        is_package = self.path.endswith("__init__.py")
        return importlib.util.spec_from_loader(fullname, self, is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, self.path, "exec"), module.__dict__)


class _Bench:
    """The core, the suite and the tests, imported once; each child is a copy of it.

    A change within a function is put into the loaded function; a change of a table, a constant or
    a class needs everything imported anew.
    """

    def __init__(self, tests: Sequence[str]) -> None:
        for folder in FOLDERS:
            sys.path.insert(0, str(ROOT / folder))
        self.tests = tests
        self.play: Any = None
        self.traces: list[Any] = []
        self.load()
        # The packages that tests import besides the core, so that no child has to import them.
        for name in (
            "pytest",
            "hypothesis",
            "_pytest.python",
            "_pytest.assertion.rewrite",
            "dns.message",
            "h11",
        ):
            importlib.import_module(name)

    def load(self) -> None:
        """Import the suite. Raises the exceptions of a broken module."""
        suite = importlib.import_module("sansip_conformance")
        self.play = suite.play_on_core
        self.traces = sorted(suite.load_suites(), key=lambda one: "torture" in one.suite)

    def prefer(self, said: str) -> None:
        """Play the trace that killed a mutant first from now on: it often kills the next one too."""
        name = said.partition(": ")[0]
        self.traces.sort(key=lambda one: one.id != name)

    def judge(self, mutant: Mutant) -> str:
        """In the child: play the suite with the mutant, then the tests; return how it died."""
        name = mutant.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        tree = mutated(mutant)
        if mutant.inside:
            _replace(name, tree)
        else:
            for loaded in [
                one for one in sys.modules if one.split(".")[0] in ("sansip", "sansip_conformance")
            ]:
                del sys.modules[loaded]
            sys.meta_path.insert(0, _Finder(name, str(ROOT / mutant.path), tree))
            try:
                self.load()
            except Exception as error:
                return f"import: {error}"
        for trace in self.traces:
            verdict = self.play(trace)
            if verdict.outcome == "fail":
                return f"{trace.id}: {verdict.reason[:100]}"
        return self._test() if self.tests else "survived"

    def _test(self) -> str:
        import pytest

        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.chdir(ROOT)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        return "survived" if pytest.main([*options, *self.tests]) == 0 else "unit tests"


def _replace(name: str, tree: ast.Module) -> None:
    """Give the functions of module ``name`` the code that they have in ``tree``."""
    old = importlib.import_module(name)
    new = ModuleType(name)
    new.__dict__.update({key: old.__dict__[key] for key in ("__name__", "__package__", "__file__")})
    # Dataclasses look for their module by its name.
    exec(compile(tree, str(old.__file__), "exec"), new.__dict__)
    _swap(vars(old), vars(new), name)


def _swap(old: Mapping[str, Any], new: Mapping[str, Any], module: str) -> None:
    for key, theirs in new.items():
        ours = old.get(key)
        if isinstance(theirs, type) and isinstance(ours, type) and theirs.__module__ == module:
            _swap(vars(ours), vars(theirs), module)
            continue
        for attribute in ("__func__", "fget"):
            ours, theirs = getattr(ours, attribute, ours), getattr(theirs, attribute, theirs)
        if isinstance(ours, FunctionType) and isinstance(theirs, FunctionType) and ours.__module__ == module:
            ours.__code__ = theirs.__code__


def run(mutants: Sequence[Mutant], jobs: int, tests: Sequence[str] = ()) -> Iterator[tuple[Mutant, str]]:
    """Judge ``mutants``, ``jobs`` at a time."""
    bench = _Bench(tests)
    waiting = list(reversed(mutants))
    running: dict[int, tuple[int, Mutant, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reader)
                resource.setrlimit(resource.RLIMIT_CPU, (CPU_TIME, CPU_TIME))
                try:
                    said = bench.judge(mutant)
                except BaseException as error:
                    said = f"raised {type(error).__name__}: {error}"
                os.write(writer, said.encode("utf-8", "replace")[:4000])
                os._exit(0)
            os.close(writer)
            running[reader] = (pid, mutant, time.monotonic())
        ready, _, _ = select.select(list(running), [], [], 1.0)
        for reader, (pid, mutant, began) in list(running.items()):
            if reader in ready:
                said = os.read(reader, 4096).decode("utf-8", "replace") or "died"
            elif time.monotonic() - began > TIMEOUT:
                os.kill(pid, signal.SIGKILL)
                said = "timeout"
            else:
                continue
            os.waitpid(pid, 0)
            os.close(reader)
            del running[reader]
            bench.prefer(said)
            yield mutant, said


def main() -> None:
    """Draw the sample, run it, list the survivors and the share killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sample", type=int, default=0, help="how many mutants; 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="a file, or file:line")
    parser.add_argument("--again", type=Path, help="the survivors in this output of an earlier run")
    parser.add_argument("--tests", nargs="*", default=[], help="pytest folders for what the suite lets live")
    options = parser.parse_args()
    paths = [
        str(path.relative_to(ROOT)) for target in TARGETS for path in sorted((ROOT / target).glob("*.py"))
    ]
    mutants = [one for path in paths for one in mutants_of(path)]
    if options.only:
        path, _, line = options.only.partition(":")
        mutants = [one for one in mutants if one.path == path and line in ("", str(one.line))]
    elif options.again:
        words = [line.split() for line in options.again.read_text().splitlines()]
        names = {word[1] for word in words if word and word[0] == "survived"}
        mutants = [one for one in mutants if one.name in names]
    elif options.sample:
        chosen = random.Random(options.seed).sample(range(len(mutants)), min(options.sample, len(mutants)))
        mutants = [mutants[at] for at in sorted(chosen)]
    survivors = 0
    total = len(mutants)
    for done, (mutant, said) in enumerate(run(mutants, options.jobs, options.tests), 1):
        if said == "survived":
            survivors += 1
            print(f"survived {mutant.name} {mutant.what}", flush=True)
        elif options.only:
            print(f"killed {mutant.name} {mutant.what} | {said}", flush=True)
        if done % 50 == 0:
            print(f"# {done} of {total}, {survivors} survived", flush=True)
    print(f"{total - survivors} of {total} killed ({100 * (total - survivors) / max(1, total):.1f} %)")


if __name__ == "__main__":
    main()
