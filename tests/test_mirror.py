"""Each source has its test where a reader looks for it: at the same path under ``tests``.

Theory of operation: ``tests/mirror.toml`` lists the sources that only show through the test of another, and
those that only declare. A source that is neither there nor mirrored fails, and so does a line of that
table which is no longer true.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Folder of sources -> folder of their tests.
PACKAGES = {
    "sansip": "tests",
    "adapters/sockets/sansip_sockets": "tests/adapters/sockets",
    "server/sansip_server": "tests/server",
    "conformance/sansip_conformance": "tests/conformance",
}
_TABLE = tomllib.loads((ROOT / "tests/mirror.toml").read_text())
DECLARED: list[str] = _TABLE["declared"]
ELSEWHERE: dict[str, str] = _TABLE["elsewhere"]


def mirrored(source: str) -> str:
    """Return where the test of ``source`` has its place."""
    package = max((one for one in PACKAGES if source.startswith(f"{one}/")), key=len)
    path = Path(PACKAGES[package], source.removeprefix(f"{package}/"))
    return str(path.with_name(f"test_{path.name}"))


def sources() -> list[str]:
    """Return all sources but the ``__init__`` of packages."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found if path.name != "__init__.py")


def test_each_source_has_its_test() -> None:
    """The mirror holds, or the table says where to look instead."""
    listed = {*DECLARED, *ELSEWHERE}
    missing = [one for one in sources() if one not in listed and not (ROOT / mirrored(one)).exists()]
    assert missing == [], "give each a test at its mirrored path, or a line in tests/mirror.toml"


def test_the_table_is_true() -> None:
    """No line for a source that is gone or has its own test, and none that leads nowhere."""
    known = set(sources())
    gone = [one for one in (*DECLARED, *ELSEWHERE) if one not in known]
    doubled = [one for one in ELSEWHERE if (ROOT / mirrored(one)).exists()]
    nowhere = [test for test in ELSEWHERE.values() if not (ROOT / test).exists()]
    assert (gone, doubled, nowhere) == ([], [], [])


def test_one_folder_each_way() -> None:
    """A path is mirrored by its folder, however deep."""
    assert mirrored("sansip/wire/headers/via.py") == "tests/wire/headers/test_via.py"
    assert mirrored("server/sansip_server/stores/lock.py") == "tests/server/stores/test_lock.py"
