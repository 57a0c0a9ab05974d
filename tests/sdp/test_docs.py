"""The example of docs/sdp.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path


def test_the_example_runs() -> None:
    """A page whose first example fails helps no reader."""
    text = (Path(__file__).parents[2] / "docs/sdp.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 1
    exec("\n".join(blocks), {})
