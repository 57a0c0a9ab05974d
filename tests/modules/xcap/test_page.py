"""The program, the document and the settings that docs/modules/xcap.md shows."""

from __future__ import annotations

import re
from pathlib import Path

from sansip.modules.xcap import XcapSettings
from sansip.modules.xcap.generated import ALL_USAGES
from tests.modules.xcap.served import RULES, client, said

PAGE = (Path(__file__).parents[3] / "docs/modules/xcap.md").read_text()


def test_the_program_of_the_page() -> None:
    """It runs as it stands."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(program, "xcap.md", "exec"), {})


def test_the_recipe_of_the_page() -> None:
    """Its document and its selector are taken; the live test runs the commands (tests/interop)."""
    bob = client()
    (body,) = re.findall(r"\$ cat rules.xml\n(.*?)\$ root", PAGE, re.DOTALL)
    assert said(bob.put(RULES, body.encode())) == "201"
    node = re.findall(r"node='(.*?)'", PAGE)[0]
    query = re.findall(r"query='(.*?)'", PAGE)[0]
    put = re.findall(r"-d '(.*?)'", PAGE)[0]
    assert said(bob.put(f"{RULES}/{node}?{query}", put.encode())) == "200"
    assert bob.get(f"{RULES}/{node}?{query}").body.decode() == put


def test_the_settings_and_applications_of_the_page() -> None:
    """Each is on the page."""
    for name in (*XcapSettings.__dataclass_fields__, *ALL_USAGES):
        assert f"`{name}`" in PAGE
