"""The examples of docs/dialogs.md run as they stand there, one after the other."""

from __future__ import annotations

import re
from pathlib import Path


def test_the_examples_run() -> None:
    """A page whose first example fails helps no reader."""
    text = (Path(__file__).parents[2] / "docs/dialogs.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    exec("\n".join(blocks), {})
