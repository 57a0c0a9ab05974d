"""The core computes: importing it pulls in no runtime, no socket, no clock.

import-linter proves that no module of ``sansip/`` names a forbidden module; this
proves that none arrives through the back door either, by way of a library.
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import sansip

FORBIDDEN = frozenset(
    {
        *("_asyncio", "_random", "_socket", "_ssl", "asyncio", "concurrent", "logging", "multiprocessing"),
        *(
            "queue",
            "random",
            "sched",
            "secrets",
            "select",
            "selectors",
            "signal",
            "socket",
            "ssl",
            "subprocess",
        ),
        *("threading", "time"),
        *("anyio", "curio", "gevent", "greenlet", "trio", "uvloop"),
        *("sansip_asyncio", "sansip_server", "sansip_sockets"),
    }
)

# The imports are compared with the modules that the interpreter had loaded by itself.
PROBE = """
import importlib, sys
before = set(sys.modules)
for name in {names!r}:
    importlib.import_module(name)
print(" ".join({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def modules_after(*names: str) -> set[str]:
    """Import ``names`` in a fresh interpreter; return the top-level modules that came with them."""
    # -S: no site-packages, whose .pth files may import anything before we look.
    path = [entry for entry in sys.path if entry]
    code = f"import sys; sys.path[:0] = {path!r}\n" + PROBE.format(names=names)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_import_sansip_is_pure() -> None:
    """The program that embeds the core chooses the runtime; `import sansip` must not choose for it."""
    loaded = modules_after("sansip")
    assert "sansip" in loaded
    assert loaded & FORBIDDEN == set()


def test_every_module_of_the_core_is_pure() -> None:
    """The modules that `import sansip` loads later must be as pure as those that it loads at once."""
    names = [info.name for info in pkgutil.walk_packages(sansip.__path__, "sansip.")]
    assert "sansip.actions" in names
    assert modules_after(*names) & FORBIDDEN == set()


@pytest.mark.parametrize("name", ["asyncio", "logging"])
def test_the_probe_sees_an_impure_import(name: str) -> None:
    """A probe that finds nothing anywhere would prove nothing."""
    assert name in modules_after(name) & FORBIDDEN
