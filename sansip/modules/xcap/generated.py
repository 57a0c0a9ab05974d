"""Documents that nobody writes: the server's capabilities, a user's directory, the list of all services.

Theory of operation: they are made when a client asks for them, from the documents that there are, so they
are never stale. Their entity-tag is a hash of their octets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from sansip.module.xml import attribute, text
from sansip.modules.documents import Document
from sansip.modules.xcap.address import encoded
from sansip.modules.xcap.faults import Fault
from sansip.modules.xcap.tree import read_tree
from sansip.modules.xcap.usages import NAMESPACES, SERVICES, USAGES, Usage, services_of

__all__ = ["ALL_USAGES", "CAPABILITIES", "DIRECTORY", "capabilities", "directory", "etag_of", "union"]

# RFC 4825 12
CAPABILITIES: Final = Usage(
    "xcap-caps",
    "urn:ietf:params:xml:ns:xcap-caps",
    "application/xcap-caps+xml",
    "xcap-caps",
    ("urn:ietf:params:xml:ns:xcap-caps", "xcap-caps"),
    None,
    ("index",),
)
# OMA XDM 2.1 Core 6.7.1: read-only, one document for each user.
DIRECTORY: Final = Usage(
    "org.openmobilealliance.xcap-directory",
    "urn:oma:xml:xdm:xcap-directory",
    "application/vnd.oma.xcap-directory+xml",
    "",
    ("urn:oma:xml:xdm:xcap-directory", "xcap-directory"),
    None,
    ("directory.xml",),
)
# By AUID: those that users write, and those that are made.
ALL_USAGES: Final = {**USAGES, CAPABILITIES.auid: CAPABILITIES, DIRECTORY.auid: DIRECTORY}
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def etag_of(body: bytes) -> str:
    """Return the entity-tag of a document that was made."""
    return hashlib.sha256(body).hexdigest()[:24]


def capabilities() -> bytes:
    """Return the document ``xcap-caps/global/index``."""
    auids = sorted((*USAGES, CAPABILITIES.auid, DIRECTORY.auid))
    lines = [
        f'{_HEAD}<xcap-caps xmlns="{CAPABILITIES.namespace}">',
        *("<auids>", *(f"<auid>{text(one)}</auid>" for one in auids), "</auids>"),
        # Not an extension of XCAP, but of what it can do: none.
        "<extensions/>",
        *("<namespaces>", *(f"<namespace>{text(one)}</namespace>" for one in NAMESPACES), "</namespaces>"),
        "</xcap-caps>\n",
    ]
    return "\n".join(lines).encode()


def directory(root: str, user: str, documents: Iterable[Document]) -> bytes:
    """Return the directory of the documents of ``user``."""
    folders: dict[str, list[str]] = {}
    for one in documents:
        uri = f"{root}/{one.auid}/users/{encoded(user)}/{encoded(one.name)}"
        entry = f"<entry uri={attribute(uri)} etag={attribute(one.etag)} size={attribute(len(one.body))}/>"
        folders.setdefault(one.auid, []).append(entry)
    inner = "".join(
        f"<folder auid={attribute(auid)}>{''.join(entries)}</folder>"
        for auid, entries in sorted(folders.items())
    )
    return f'{_HEAD}<xcap-directory xmlns="{DIRECTORY.namespace}">{inner}</xcap-directory>\n'.encode()


def union(documents: Iterable[Document], most: int) -> bytes:
    """Return the services of all users as one document (RFC 4826 4.4.7).

    Raises ``Fault`` 503 above ``most`` octets.
    """
    parts = [f'{_HEAD}<rls-services xmlns="{SERVICES}">'.encode()]
    size = len(parts[0])
    for document in documents:
        root = read_tree(document.body)
        for service in services_of(root).values():
            missing = {
                prefix: namespace
                for prefix, namespace in root.declared.items()
                if prefix not in service.declared and (prefix or namespace != SERVICES)
            }
            if not root.namespace_of("") and "" not in service.declared:
                # It has no default namespace where it comes from.
                missing[""] = ""
            declared = "".join(
                f" xmlns{':' if prefix else ''}{prefix}={attribute(namespace)}"
                for prefix, namespace in missing.items()
            )
            body = document.body
            part = b"\n" + body[service.start : service.named] + declared.encode()
            part += body[service.named : service.end]
            size += len(part)
            if size > most:
                raise Fault(503, "the list of all services is too long (limits.mount_answer)")
            parts.append(part)
    parts.append(b"\n</rls-services>\n")
    return b"".join(parts)
