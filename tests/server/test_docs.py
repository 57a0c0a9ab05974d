"""The documentation is held to the program: code runs, links lead somewhere, commands exist."""

from __future__ import annotations

import re
import shlex
from dataclasses import is_dataclass
from pathlib import Path

import click
import pytest

from sansip.module.base import marked
from sansip.routing import IncomingRequest
from sansip.wire import Request
from sansip_server import modules
from sansip_server.cli import sansip
from sansip_server.config.load import keys_of, load_text, row_of
from sansip_server.config.schema import Settings
from sansip_server.routes import load_route

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Keys whose faults may be that a file is not here.
FILES = ("route", "tls")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def name_of(page: Path) -> str:
    return page.name


def test_readme_shows_the_embedding_example() -> None:
    """Newcomers copy this example, and a test runs it."""
    example = (ROOT / "examples" / "embed.py").read_text(encoding="utf-8")
    assert blocks(ROOT / "README.md", "python")[0] == example, "copy examples/embed.py into README.md"


def test_readme_route_loads(tmp_path: Path) -> None:
    """The server takes the routing script of the first screen."""
    (script,) = (code for code in blocks(ROOT / "README.md", "python") if "async def route" in code)
    path = tmp_path / "route.py"
    path.write_text(script)
    assert callable(load_route(path))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_compiles(page: Path) -> None:
    """A slip in an example costs its reader more than its writer."""
    for code in blocks(page, "python"):
        if code.startswith("def run("):
            continue  # a signature, shown in docs/adapters.md
        # Some blocks are the inside of a route.
        body = "".join(f"    {line}\n" for line in code.splitlines())
        try:
            compile(code, page.name, "exec")
        except SyntaxError:
            compile(f"async def route(request):\n{body}", page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_toml_is_good(page: Path) -> None:
    """A configuration that the documentation shows has no fault, but for files that are not here."""
    for code in blocks(page, "toml"):
        assert [fault.problem for fault in load_text(code).faults if fault.path not in FILES] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page: Path) -> None:
    """Each `sansip …` that is shown parses: the command and every option are there."""
    for code in blocks(page, "console"):
        for command in re.split(r"\n|&&", code):
            words = shlex.split(command.strip().removeprefix("$ ")) if "sansip" in command else []
            if words and words[0].endswith("sansip") and len(words) > 1 and not words[1].endswith(":"):
                shown = sansip.commands[words[1]]
                # click remembers the help option of the first context that a command is parsed in.
                names = sansip.context_settings["help_option_names"]
                with click.Context(shown, info_name=words[1], help_option_names=names) as context:
                    shown.parse_args(context, words[2:])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Pages get renamed."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_first_words_say_what_it_is_for(page: Path) -> None:
    """A reader who came by a search decides here whether to stay."""
    first = page.read_text(encoding="utf-8").split("\n\n")[1]
    assert first[0] not in "#`|-" or first.startswith("`"), first
    assert not first.startswith("```"), first


TABLES = {name: hint for name, hint in keys_of(Settings).items() if is_dataclass(hint)} | {
    name: row for name, hint in keys_of(Settings).items() if (row := row_of(hint)) is not None
}
# Names with a point that are no keys: methods of a WebSocket, an event package, variables of a call, files.
OTHERS = re.compile(
    r"events\.(follow|event|leave)|presence\.winfo|lcr\.\w+|digest\.prove|ua\.(invite|act)|\w+\.py"
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_keys_and_commands_exist(page: Path) -> None:
    """A key, a command or a function of a module that a page names is there: `calls.max_duration`."""
    text, unknown = page.read_text(encoding="utf-8"), []
    if page.name == "from-kamailio.md":
        text = re.sub(r"(?m)^\| (?:\\\||[^|])*\|", "", text)  # the first column has Kamailio's names
    for table, key in re.findall(r"`(?:sansip ctl )?([a-z_0-9]+)\.([a-z_]+)(?=[` (=])", text):
        known = set(keys_of(TABLES[table])) if table in TABLES else set()
        if table in modules.names():
            kind = modules.load(table)
            commands = {method.sansip_command[0] for _, method in marked(kind, "sansip_command")}
            known |= {*keys_of(kind.Settings), *(name.partition(".")[2] for name in commands), *dir(kind)}
        if known and key not in known and OTHERS.fullmatch(f"{table}.{key}") is None:
            unknown.append(f"{table}.{key}")
    assert page.name in ("sdp.md", "rfcs.md") or unknown == []  # `media` and `request` are variables there


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_route_uses_exists(page: Path) -> None:
    """Operators copy `request.relay` and `request.message.set`; a wrong name is a 500 at night."""
    text = page.read_text(encoding="utf-8")
    shown = [*blocks(page, "python"), *re.findall(r"`[^`\n]+`", FENCE.sub("", text))]
    routes = [
        code for code in shown if "WebRequest" not in code and "XcapClient" not in code and ".py" not in code
    ]
    for code in routes:
        for name in re.findall(r"\brequest\.([a-z_]+)", code):
            assert hasattr(IncomingRequest, name), f"request.{name}"
        for name in re.findall(r"\brequest\.message\.([a-z_]+)", code):
            assert hasattr(Request, name), f"request.message.{name}"


def test_every_page_is_in_the_index() -> None:
    """A page without a link is not read."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert page.name == "index.md" or f"{page.name})" in index


def test_every_command_is_documented() -> None:
    """docs/commands.md names each command and each of its options."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name, command in sansip.commands.items():
        assert f"## sansip {name}" in text
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else []:
                assert not option.startswith("--") or option in text, option
