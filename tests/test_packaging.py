"""One wheel ships every root, typed, with its licence and its entry points.

Theory of operation: hatchling builds the wheel from the checkout (no network, no
isolation), and the archive is read as the zip file that it is.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [Path(path) for path in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return built(tmp_path_factory.mktemp("wheel"))


def built(directory: Path, **environment: str) -> zipfile.ZipFile:
    """Build the wheel into ``directory``."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = directory.iterdir()
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (entry for entry in wheel.namelist() if entry.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_package_is_whole_and_typed(wheel: zipfile.ZipFile, package: Path) -> None:
    """A file that works from the checkout only is a file that users do not have."""
    names = set(wheel.namelist())
    sources = [
        path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert {str(path.relative_to(ROOT / package.parent)) for path in sources} <= names
    assert f"{package.name}/py.typed" in names
    assert f"{package.name}/__init__.py" in names


def test_nothing_else_is_installed(wheel: zipfile.ZipFile) -> None:
    """A stray top-level name (`tests`, `tools`) in site-packages shadows other people's."""
    top = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert top == {package.name for package in PACKAGES}


@pytest.mark.parametrize(
    "module", ["sansip/wire/_head", "sansip_sockets/_udp", "sansip/modules/media/_octets"]
)
def test_the_modules_in_c_are_compiled(wheel: zipfile.ZipFile, tmp_path: Path, module: str) -> None:
    """Where there is a compiler the wheel has the C modules and is of this platform; else it is pure."""
    extension = f"{module}{sysconfig.get_config_var('EXT_SUFFIX')}"
    if shutil.which("cc") is not None:
        assert extension in wheel.namelist()
        assert "-none-any" not in str(wheel.filename)
    without = built(tmp_path, SANSIP_PURE="1")
    assert extension not in without.namelist()
    assert str(without.filename).endswith("-py3-none-any.whl")
    # A compiler that fails costs a second, and no installation.
    broken = built(tmp_path / "broken", CC="false", PATH="/nowhere")
    assert extension not in broken.namelist()


def test_licence_and_metadata(wheel: zipfile.ZipFile) -> None:
    """MIT, named in the machine-readable way, with the text beside it."""
    text = metadata(wheel, "METADATA")
    assert "License-Expression: MIT" in text
    assert "Requires-Python: >=3.11" in text
    assert "the sansip maintainers" in metadata(wheel, "licenses/LICENSE")


def test_entry_points(wheel: zipfile.ZipFile) -> None:
    """The command and the runtimes are found by name, so that a third party can add a runtime."""
    parser = configparser.ConfigParser()
    parser.read_string(metadata(wheel, "entry_points.txt"))
    assert parser["console_scripts"]["sansip"] == "sansip_server.cli:main"
    assert parser["sansip.runtimes"]["asyncio"] == "sansip_asyncio:run"


def test_entry_points_load() -> None:
    """Each name that the metadata promises is there to be called."""
    runtimes = {entry.name: entry.load() for entry in entry_points(group="sansip.runtimes")}
    assert callable(runtimes["asyncio"])
    (command,) = entry_points(group="console_scripts", name="sansip")
    assert callable(command.load())


def test_version_is_one() -> None:
    """The changelog tells of the version that the metadata names."""
    version = PROJECT["project"]["version"]
    assert (
        f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
        or "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()
    )
