"""The compiled build: ``SANSIP_COMPILE=1 pip install .`` makes a wheel with the hot modules compiled.

Theory of operation: mypyc turns annotated modules into C extensions; the source
is one and the same. Without the variable this hook does nothing, needs nothing
and the wheel is pure. With it, the modules below are compiled in a copy of the
tree, so that none of it is left beside the source, and put into the wheel next
to their ``.py`` files: Python imports the extension where both exist. Compiled
modules call each other without Python's ceremony, so what is compiled is the
whole path of a message and nothing beside it. Three kinds of module stay as they
are: ``stack.py``, which embedding programs may subclass, ``transport/sender.py``,
which tests replace, and dataclasses that no message passes through.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Patterns below sansip/; an __init__ has nothing to compile.
COMPILED = (
    "actions.py",
    "clock.py",
    "entropy.py",
    "sources.py",
    "wire/abnf.py",
    "wire/compose.py",
    "wire/fields.py",
    "wire/host.py",
    "wire/message.py",
    "wire/params.py",
    "wire/reader.py",
    "wire/uri.py",
    "wire/values.py",
    "wire/headers/fields.py",
    "wire/headers/name_addr.py",
    "wire/headers/simple.py",
    "wire/headers/via.py",
    "transport/connection.py",
    "transport/connections.py",
    "transport/flow.py",
    "transport/framing.py",
    "transport/listeners.py",
    "transport/next_hop.py",
    "transport/via.py",
    "transaction/*.py",
    "proxy/*.py",
    "location/*.py",
    "registrar/*.py",
    "routing/arrival.py",
    "routing/flow_route.py",
    "routing/incoming.py",
    "routing/relaying.py",
    "routing/request.py",
    "routing/awaitables.py",
    "routing/stepper.py",
)


class CompileHook(BuildHookInterface[Any]):
    """Adds the extensions to a wheel that is asked for with ``SANSIP_COMPILE=1``."""

    PLUGIN_NAME = "custom"

    def _wanted(self) -> bool:
        return self.target_name == "wheel" and os.environ.get("SANSIP_COMPILE", "") not in ("", "0")

    def dependencies(self) -> list[str]:
        """Return what pip has to install for the build, nothing for a pure one."""
        return ["mypy>=2.0", "setuptools>=70"] if self._wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say where in the wheel the results go."""
        if not self._wanted() or version == "editable":
            return
        directory = Path(self.directory) / "compiled"
        shutil.rmtree(directory, ignore_errors=True)
        compile_modules(Path(self.root), directory)
        for path in directory.rglob("*"):
            if path.is_file():
                build_data["force_include"][str(path)] = path.relative_to(directory).as_posix()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_modules(root: Path, directory: Path) -> None:
    """Compile ``COMPILED`` of the project at ``root``; the extensions are written below ``directory``."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    modules = sorted(
        path.relative_to(root).as_posix()
        for pattern in COMPILED
        for path in (root / "sansip").glob(pattern)
        if path.name != "__init__.py"
    )
    with tempfile.TemporaryDirectory() as workshop, contextlib.chdir(workshop):
        shutil.copytree(root / "sansip", "sansip", ignore=shutil.ignore_patterns("__pycache__"))
        # Types are proved by `tox -e types`; here not even the dependencies are installed.
        extensions = mypycify(["--ignore-missing-imports", *modules], group_name="sansip")
        command = Distribution({"name": "sansip", "ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib = str(directory)  # type: ignore[attr-defined]
        command.parallel = os.cpu_count()  # type: ignore[attr-defined]
        command.ensure_finalized()
        command.run()
