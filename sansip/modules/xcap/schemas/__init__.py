"""XML schemas of the documents, as files; ``validate`` judges by them.

Theory of operation: the files are the RFCs' own (``SOURCE.md``), and name each other; they are read as data
of this package, so nothing comes from a network. A schema is read when the first document needs it. A
document with elements of unknown namespaces is valid where the schema has room for them (RFC 4825 5.8).
"""

from __future__ import annotations

import pkgutil
from functools import cache
from typing import Any

from sansip.module.xml import FIX, Element

try:
    from lxml import etree
except ImportError:  # pragma: no cover - the extra is there in tests
    etree = None

__all__ = ["validate"]


def _data(name: str) -> bytes:
    data = pkgutil.get_data(__name__, name)
    assert data is not None
    return data


@cache
def _schema(name: str) -> Any:
    if etree is None:
        raise ValueError(FIX)

    class Ours(etree.Resolver):  # type: ignore[misc]  # lxml ships no types
        """Finds the schemas that a schema imports."""

        def resolve(self, url: str, id: str, context: Any) -> Any:
            return self.resolve_string(_data(url.rpartition("/")[2]), context)

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    parser.resolvers.add(Ours())
    return etree.XMLSchema(etree.fromstring(_data(f"{name}.xsd"), parser))


def validate(root: Element, name: str) -> str:
    """Return why ``root`` is not valid by the schema ``name``, "" where it is."""
    schema = _schema(name)
    if schema.validate(root):
        return ""
    error = schema.error_log[0]
    return f"line {error.line}: {error.message}"
