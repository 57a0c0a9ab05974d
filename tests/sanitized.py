"""Runs a script against a module in C that ASan and UBSan watch: a read behind an octet string ends it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import sansip
from tests.missing import missing

__all__ = ["run_sanitized"]

# Where the sources in C lie, also beside an installed wheel.
ROOT = Path(sansip.__file__).parents[1]
FLAGS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


def run_sanitized(compiled: Callable[..., Path], folder: Path, script: str, *words: str) -> None:
    """Run ``script`` with the path of the module that ``compiled`` (of ``hatch_build``) makes, and ``words``.

    It is to print "sanitized" and nothing else.
    """
    if shutil.which("gcc") is None:
        missing("no gcc")
    path = compiled(ROOT, folder, *FLAGS)
    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = dict(
        os.environ,
        LD_PRELOAD=":".join(libraries),
        # The interpreter frees less than it allocates, on purpose.
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
        PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
    )
    command = [sys.executable, "-c", script, str(path), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "sanitized\n"), done.stderr[-4_000:]
