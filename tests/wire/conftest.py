"""The C module for the tests of what it does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from sansip.wire import head
from tests.missing import missing
from tests.wire.scanners import build, read_by


@pytest.fixture(scope="session")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The C module: the installed one, else compiled for these tests."""
    if not head.HAS_SCANNER and shutil.which("cc") is None:
        missing("no C compiler")
    return build(tmp_path_factory.mktemp("head"))


@pytest.fixture(scope="module", params=["Python", "C"])
def reader(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have each test read in brief by the patterns, then by the C module."""
    with pytest.MonkeyPatch.context() as patch:
        read_by(patch, None if request.param == "Python" else request.getfixturevalue("scanner"))
        yield request.param
