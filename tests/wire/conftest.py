"""The C module for the tests of what it does."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from sansip.wire import head
from tests.missing import missing
from tests.wire.test_head import ROOT, load


@pytest.fixture(scope="session")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The C module: the installed one, else compiled for these tests."""
    if head.HAS_SCANNER:
        return head._MODULE
    from hatch_build import compile_scanner

    if shutil.which("cc") is None:
        missing("no C compiler")
    strict = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers")
    return load(compile_scanner(ROOT, tmp_path_factory.mktemp("head"), *strict))
