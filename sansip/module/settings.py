"""Settings of a module: the fields of a dataclass, with a word on each.

Theory of operation: ``Annotated[float, Doc("Seconds between two probes.")]`` states the purpose of a key
beside its type; the reference page, `sansip modules` and `sansip check` read it from there.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

__all__ = ["Doc", "FileName", "Key", "files_of", "keys_of"]


@dataclass(frozen=True, slots=True)
class Doc:
    """The purpose of a key, in a sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class FileName:
    """The mark of a setting that names a file, relative to the folder of the configuration."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table. ``default`` is ``dataclasses.MISSING`` where it must be given."""

    name: str
    type: Any
    default: Any
    doc: str


def keys_of(settings: type) -> list[Key]:
    """Return the keys of a dataclass, in order."""
    hints = get_type_hints(settings, include_extras=True)
    keys = []
    for field in dataclasses.fields(settings):
        if not field.init:
            continue
        kind, doc = hints[field.name], ""
        if get_origin(kind) is Annotated:
            kind, *notes = get_args(kind)
            doc = next((note.text for note in notes if isinstance(note, Doc)), "")
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        keys.append(Key(field.name, kind, default, doc))
    return keys


def files_of(settings: type) -> list[str]:
    """Return the keys of a dataclass that name files."""
    hints = get_type_hints(settings, include_extras=True)
    return [
        name
        for name, hint in hints.items()
        if get_origin(hint) is Annotated and any(isinstance(mark, FileName) for mark in get_args(hint)[1:])
    ]
