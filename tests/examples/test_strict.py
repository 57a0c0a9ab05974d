"""Newcomers copy the examples, so these pass the strictest check: ``mypy --strict``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.server.test_docs import ROOT, blocks


def test_examples_are_strictly_typed(tmp_path: Path) -> None:
    """The README's programs and examples/, without this project's own settings of mypy."""
    files = [
        ROOT / "examples" / "testing_a_route.py",
        ROOT / "examples" / "softphone.py",
        *(ROOT / "examples" / "routes").glob("*.py"),
    ]
    for number, code in enumerate(blocks(ROOT / "README.md", "python")):
        files.append(tmp_path / f"readme_{number}.py")
        files[-1].write_text(code)
    assert len(files) >= 7
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}"]
    # Their imports are checked elsewhere, and take half a minute.
    done = subprocess.run(
        [*command, "--follow-imports=silent", *map(str, files)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
