"""Answers that refuse a request, with the error documents of RFC 4825 11.

Theory of operation: a ``Fault`` is raised where the request is found wrong, and the module answers with it. A
``Conflict`` is a 409: its body names the condition, and a phrase says in words what to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sansip.module import WebResponse
from sansip.module.xml import attribute, text

__all__ = ["ERROR_TYPE", "Conflict", "Exists", "Fault"]

ERROR_TYPE: Final = "application/xcap-error+xml"
_NAMESPACE: Final = "urn:ietf:params:xml:ns:xcap-error"
# Characters of a phrase: text of a schema's verdict may quote the document.
_PHRASE: Final = 200


class Fault(Exception):
    """A request that is refused with ``status``; ``phrase`` says why, for the author of the client."""

    def __init__(self, status: int, phrase: str, *headers: tuple[str, str]) -> None:
        super().__init__(phrase)
        self.status = status
        self.phrase = phrase
        self.headers = list(headers)

    def response(self) -> WebResponse:
        """Return the answer."""
        return WebResponse(self.status, f"{self.phrase}\n".encode(), headers=list(self.headers))


@dataclass(frozen=True, slots=True)
class Exists:
    """A value that has to be unique and is not.

    ``field``: the URI of its element or attribute, relative to the document, percent-encoded; ``instead``:
    values that could be used.
    """

    field: str
    instead: tuple[str, ...] = ()


class Conflict(Fault):
    """RFC 4825 11: a 409, with the element ``name`` of the error document."""

    def __init__(
        self, name: str, phrase: str = "", *, ancestor: str = "", exists: Sequence[Exists] = ()
    ) -> None:
        super().__init__(409, phrase[:_PHRASE])
        self.name = name
        self.ancestor = ancestor
        self.exists = tuple(exists)

    def response(self) -> WebResponse:
        """Return the answer with its document."""
        inner = f"<ancestor>{text(self.ancestor)}</ancestor>" if self.ancestor else ""
        for one in self.exists:
            values = "".join(f"<alt-value>{text(value)}</alt-value>" for value in one.instead)
            inner += f"<exists field={attribute(one.field)}>{values}</exists>"
        phrase = f" phrase={attribute(self.phrase)}" if self.phrase else ""
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<xcap-error xmlns="{_NAMESPACE}">'
            f"<{self.name}{phrase}>{inner}</{self.name}></xcap-error>\n"
        )
        return WebResponse(409, body.encode(), ERROR_TYPE)
