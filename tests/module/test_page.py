"""The module and the test that docs/modules.md shows work as they stand."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "modules.md"


def test_the_example_of_the_page() -> None:
    """A reader copies both blocks; they are typed in one module and pass."""
    code, test = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)[:2]
    page = types.ModuleType("page_of_modules")
    sys.modules[page.__name__] = page
    try:
        exec(compile(f"{code}\n{test}", str(PAGE), "exec"), page.__dict__)
        page.test_block()
    finally:
        del sys.modules[page.__name__]


def test_its_length() -> None:
    """A module with settings, rows, an event, a timer, a function, a step and two commands stays a page."""
    code, test = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)[:2]
    lines = [line for line in f"{code}{test}".splitlines() if line.strip()]
    assert len(lines) <= 90
