"""An XCAP client for programs with an HTTP library of their own: requests out, answers in, no connection.

Theory of operation: the client writes URIs, with all escapes, and the fields of requests; the program sends
them, and gives back what came. The client remembers the entity-tag of each document, so that a later request
can be made on condition that nobody else changed it (RFC 4825 7.11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from sansip.module.xml import attribute, local_name, read_xml
from sansip.modules.xcap.address import GLOBAL, SAFE, encoded
from sansip.modules.xcap.serving import ATTRIBUTE_TYPE, ELEMENT_TYPE
from sansip.modules.xcap.usages import USAGES

__all__ = ["XcapAnswer", "XcapClient", "XcapRequest"]


@dataclass(slots=True)
class XcapRequest:
    """A request to send. ``document`` is the URL of the whole document."""

    method: str
    url: str
    document: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class XcapAnswer:
    """An answer, read.

    Attributes:
        status, body, etag: as they came; ``etag`` with its quotes, "" without one.
        conflict: the condition of a 409 (``uniqueness-failure``), "" without one.
        phrase: its reason, for people.
        ancestor: the URI of the closest element at which an insertion would be possible.
        alternatives: values that the server suggests.
    """

    status: int
    body: bytes = b""
    etag: str = ""
    conflict: str = ""
    phrase: str = ""
    ancestor: str = ""
    alternatives: tuple[str, ...] = ()

    @property
    def created(self) -> bool:
        """Whether a PUT made something new."""
        return self.status == 201

    @property
    def stale(self) -> bool:
        """Whether the document is another one by now: read it, and try again."""
        return self.status == 412

    @property
    def unchanged(self) -> bool:
        """Whether the document is still the one that the client read."""
        return self.status == 304


class XcapClient:
    """Requests for the documents of ``user`` (an address-of-record) below the XCAP root ``root``."""

    def __init__(self, root: str, user: str) -> None:
        self._root = root.rstrip("/")
        self._user = user
        self._tags: dict[str, str] = {}

    def url(self, auid: str, document: str = "index", *, everybody: bool = False) -> str:
        """Return the URL of a document; ``everybody``: one of the global tree."""
        tree = GLOBAL if everybody else f"users/{encoded(self._user)}"
        return f"{self._root}/{encoded(auid)}/{tree}/{encoded(document)}"

    def etag(self, auid: str, document: str = "index") -> str:
        """Return the entity-tag that the document had last, "" where it is not known."""
        return self._tags.get(self.url(auid, document), "")

    def get(
        self,
        auid: str,
        selector: str = "",
        document: str = "index",
        *,
        namespaces: Mapping[str, str] | None = None,
        changed: bool = False,
        everybody: bool = False,
    ) -> XcapRequest:
        """Return the request for a document, or what ``selector`` (not escaped) selects in it.

        ``namespaces``: what the prefixes in the selector mean; ``changed``: only if it is another one by now.
        """
        whole = self.url(auid, document, everybody=everybody)
        request = XcapRequest("GET", _place(whole, selector, namespaces), whole)
        if changed and whole in self._tags:
            request.headers["If-None-Match"] = self._tags[whole]
        return request

    def put(
        self, auid: str, body: bytes, document: str = "index", *, new: bool = False, safely: bool = False
    ) -> XcapRequest:
        """Return the request that writes a document; ``new``: only where there is none.

        Raises ``LookupError`` for an application whose type is not known.
        """
        request = self._writing("PUT", self.url(auid, document), "", None, safely)
        request.headers["Content-Type"] = USAGES[auid].mime
        request.body = body
        if new:
            request.headers["If-None-Match"] = "*"
        return request

    def put_element(
        self,
        auid: str,
        selector: str,
        element: bytes,
        document: str = "index",
        *,
        namespaces: Mapping[str, str] | None = None,
        safely: bool = False,
    ) -> XcapRequest:
        """Return the request that puts an element where ``selector`` selects it afterwards."""
        request = self._writing("PUT", self.url(auid, document), selector, namespaces, safely)
        request.headers["Content-Type"] = ELEMENT_TYPE
        request.body = element
        return request

    def put_attribute(
        self,
        auid: str,
        selector: str,
        value: str,
        document: str = "index",
        *,
        namespaces: Mapping[str, str] | None = None,
        safely: bool = False,
    ) -> XcapRequest:
        """Return the request that sets an attribute to ``value``, plain text."""
        request = self._writing("PUT", self.url(auid, document), selector, namespaces, safely)
        request.headers["Content-Type"] = ATTRIBUTE_TYPE
        request.body = attribute(value).encode()
        return request

    def delete(
        self,
        auid: str,
        selector: str = "",
        document: str = "index",
        *,
        namespaces: Mapping[str, str] | None = None,
        safely: bool = False,
    ) -> XcapRequest:
        """Return the request that deletes a document, or what ``selector`` selects in it."""
        return self._writing("DELETE", self.url(auid, document), selector, namespaces, safely)

    def _writing(
        self, method: str, whole: str, selector: str, namespaces: Mapping[str, str] | None, safely: bool
    ) -> XcapRequest:
        request = XcapRequest(method, _place(whole, selector, namespaces), whole)
        if safely and whole in self._tags:
            request.headers["If-Match"] = self._tags[whole]
        return request

    def read(self, request: XcapRequest, status: int, headers: Mapping[str, str], body: bytes) -> XcapAnswer:
        """Read the answer to ``request``. A broken error document is an answer without its condition."""
        fields = {name.lower(): value for name, value in headers.items()}
        answer = XcapAnswer(status, body, fields.get("etag", ""))
        if status in (200, 201, 304):
            if answer.etag:
                self._tags[request.document] = answer.etag
            else:
                self._tags.pop(request.document, None)
        elif status == 412:
            # The tag is of a document that is no more.
            self._tags.pop(request.document, None)
        if status == 409:
            _read_conflict(answer)
        return answer


def _place(whole: str, selector: str, namespaces: Mapping[str, str] | None) -> str:
    if not selector:
        return whole
    url = f"{whole}/~~/{quote(selector, safe=SAFE + '/')}"
    if namespaces:
        bound = "".join(f"xmlns({prefix}={_escaped(uri)})" for prefix, uri in namespaces.items())
        url += f"?{quote(bound, safe=SAFE)}"
    return url


def _escaped(uri: str) -> str:
    """XPointer Framework 3.1: parentheses and circumflexes in the data of a scheme."""
    return uri.replace("^", "^^").replace("(", "^(").replace(")", "^)")


def _read_conflict(answer: XcapAnswer) -> None:
    try:
        root = read_xml(answer.body)
    except ValueError:
        return
    for condition in root:
        answer.conflict = local_name(condition)
        answer.phrase = condition.get("phrase") or ""
        for one in condition.iter():
            if local_name(one) == "ancestor":
                answer.ancestor = (one.text or "").strip()
            elif local_name(one) == "alt-value":
                answer.alternatives += ((one.text or "").strip(),)
        return
