"""The examples of docs/modules/media.md and media-codecs.md are good ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from sansip_server.cli import main

ROOT = Path(__file__).parents[3]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs/modules" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", ["media.md", "media-codecs.md"])
def test_the_recipe(page: str, tmp_path: Path) -> None:
    """`sansip check` takes the first configuration of the page with the route of the page."""
    (tmp_path / "route.py").write_text(blocks(page, "python")[0])
    (tmp_path / "sansip.toml").write_text('route = "route.py"\n' + blocks("media.md", "toml")[0])
    done = CliRunner().invoke(main, ["check", str(tmp_path / "sansip.toml")])
    assert done.exit_code == 0, done.output
    # The recipe says no version, and that is told.
    assert "rtpengine --version" in done.output


def test_a_known_version(tmp_path: Path) -> None:
    """With the version that the page shows nothing is said."""
    relay = blocks("media.md", "toml")[1]
    (tmp_path / "sansip.toml").write_text(f"[media]\n{relay}")
    done = CliRunner().invoke(main, ["check", str(tmp_path / "sansip.toml")])
    assert done.exit_code == 0, done.output
    assert "rtpengine" not in done.output
