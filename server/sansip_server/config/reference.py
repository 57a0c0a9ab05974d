"""docs/configuration.md and docs/limits.md, written from the schema so that they cannot lie.

Theory of operation: a key's documentation stands where the key is defined,
either as the comment above the field or in the class's ``Attributes:`` list;
type and default come from the dataclass. ``python -m
sansip_server.config.reference`` rewrites the pages, and a test compares them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from sansip.limits import Limits
from sansip_server.config.load import expected, keys_of, literals, row_of
from sansip_server.config.schema import Settings

__all__ = ["PAGES", "configuration_page", "documentation", "limits_page"]

INTRODUCTION = """\
# Configuration

<!-- Written by `python -m sansip_server.config.reference` from the schema; edit the comments there. -->

`sansip serve --config FILE` reads a [TOML](https://toml.io) file. Every key has a default, and the
server runs without any file. Options on the command line win over the file: `--listen` and `--domain`
replace the lists, `--auth`, `--route`, `--runtime`, `--uvloop` and `--log-level` the single values.

`sansip check FILE` judges a file without starting anything. It names every fault with its line and what
was expected, and exits with status 2 if there is one; `--json` gives the same to programs.

```toml
# A server for example.org, reachable from a network, without authentication.
listen = [
  "udp:10.0.0.1:5060 advertise 203.0.113.5:5060",   # behind NAT: what peers see
  "tcp:10.0.0.1:5060 advertise 203.0.113.5:5060",
]
domains = ["example.org"]
auth = "none"                # everybody who can reach these addresses may register
route = "route.py"           # your own routing script; leave out for the default one

[registrar]
max_expires = 7200

[log]
level = "info"
```

Sizes are octets and times are seconds. Numbers are above 0; where 0 is allowed, it is said what it means.
"""

LIMITS = """\
# Limits

<!-- Written by `python -m sansip_server.config.reference` from sansip/limits.py; edit the comments there. -->

Nothing a peer sends may grow memory or time without bound, so every size, count and duration that a peer
influences has a name, a default and a consequence. Each is a key of the table `[limits]` of the
[configuration](configuration.md), and a field of `sansip.limits.Limits` for embedding programs. Sizes are
octets and times are seconds.

| Limit | Default | What it bounds, and why | When it is reached |
|---|---|---|---|
"""


def documentation(cls: type) -> dict[str, str]:
    """Return the documentation of each field of a dataclass, in one paragraph each."""
    text, node = _source(cls)
    comments = _comments(ast.get_source_segment(text, node) or "")
    return {**_attributes(ast.get_docstring(node) or ""), **comments}


def _doc(cls: type) -> str:
    return ast.get_docstring(_source(cls)[1]) or ""


def _source(cls: type) -> tuple[str, ast.ClassDef]:
    """Return the text and the class in it; a compiled module (hatch_build.py) has its source beside it."""
    module = sys.modules[cls.__module__]
    assert module.__file__ is not None
    path = Path(module.__file__).with_name(f"{cls.__module__.rpartition('.')[2]}.py")
    text = path.read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            return text, node
    raise LookupError(f"{path} has no class {cls.__name__}")


def _comments(source: str) -> dict[str, str]:
    """Return the comment above each annotated name of a class body.

    A name right below another one shares its comment.
    """
    found: dict[str, str] = {}
    comment: list[str] = []
    begun = False
    for line in source.splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment = [*comment, text.lstrip("# ")] if begun else [text.lstrip("# ")]
            begun = True
            continue
        begun = False
        if field := re.match(r"    (\w+)\s*:", line):
            found[field[1]] = " ".join(comment)
        else:
            comment = []
    return {name: text for name, text in found.items() if text}


def _attributes(doc: str) -> dict[str, str]:
    """Return the entries of a docstring's ``Attributes:`` list."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in doc.partition("Attributes:\n")[2].splitlines():
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            name = entry[1]
            found[name] = [entry[2]]
        elif name and line.startswith("        "):
            found[name].append(line.strip())
        elif line.strip():
            break
    return {name: " ".join(lines).replace("``", "`") for name, lines in found.items()}


def configuration_page() -> str:
    """Return docs/configuration.md."""
    parts = [INTRODUCTION, "## Top level\n", *_table(Settings, "")]
    for name, hint in keys_of(Settings).items():
        if is_dataclass(hint) and isinstance(hint, type):
            first = _doc(hint).partition("\n")[0]
            parts += [f"## `[{name}]`\n", f"{first}\n", *_table(hint, f"{name}.")]
        elif row := row_of(hint):
            first = _doc(row).partition("\n")[0]
            parts += [f"## `[[{name}]]`\n", f"{first}\n", *_table(row, f"{name}.")]
    return "\n".join(parts).rstrip() + "\n"


def limits_page() -> str:
    """Return docs/limits.md: one row for each limit."""
    docs = documentation(Limits)
    rows = []
    for field in fields(Limits):
        reason, arrow, outcome = docs[field.name].partition(" → ")
        default = _default(field).removeprefix("default ")
        rows.append(f"| `{field.name}` | {default} | {reason} | {outcome if arrow else ''} |")
    return LIMITS + "\n".join(rows) + "\n"


def _table(cls: type, prefix: str) -> Iterator[str]:
    docs = documentation(cls)
    hints = keys_of(cls)
    for field in fields(cls):
        hint = hints.get(field.name)
        if hint is None or is_dataclass(hint) or row_of(hint):
            continue
        if field.name not in docs:
            raise LookupError(f"{cls.__name__}.{field.name} has no documentation")
        yield f"### `{prefix}{field.name}`\n"
        kind = f"one of {expected(hint)}" if literals(hint) else expected(hint)
        yield f"*{kind[:1].upper()}{kind[1:]}; {_default(field)}.*\n"
        text = docs[field.name]
        yield f"{text[:1].upper()}{text[1:]}\n"


def _default(field: Field[Any]) -> str:
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if value is None:
        return "unset by default"
    if isinstance(value, bool):
        return f"default `{str(value).lower()}`"
    if isinstance(value, str):
        return f'default `"{value}"`'
    if isinstance(value, list | tuple | frozenset):
        items = ", ".join('"' + item + '"' for item in value)
        return f"default `[{items}]`"
    return f"default `{value:,}`".replace(",", "_") if isinstance(value, int) else f"default `{value:g}`"


# Name in docs/ of each page, and what writes it.
PAGES = {"configuration.md": configuration_page, "limits.md": limits_page}

if __name__ == "__main__":
    for name, write in PAGES.items():
        path = Path(__file__).parents[3] / "docs" / name
        path.write_text(write(), encoding="utf-8")
        print(f"wrote {path}")
