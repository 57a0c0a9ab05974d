"""What a PUT makes of a document (RFC 4825 8.2).

Theory of operation: the order is RFC 9110 13.2.1's. First everything that the request without its body can
be refused for: its type, a parent that is not there. Then its conditions. Then its body.
"""

from __future__ import annotations

from sansip.module import WebRequest
from sansip.modules.xcap.address import Address, encoded
from sansip.modules.xcap.conditions import judge
from sansip.modules.xcap.edit import parent_of, put_attribute, put_element
from sansip.modules.xcap.faults import Conflict, Fault
from sansip.modules.xcap.selector import AttributeName, Selector
from sansip.modules.xcap.serving import ATTRIBUTE_TYPE, ELEMENT_TYPE
from sansip.modules.xcap.tree import read_tree
from sansip.modules.xcap.usages import Usage

__all__ = ["changed_by"]


def changed_by(
    request: WebRequest,
    usage: Usage,
    address: Address,
    selector: Selector | None,
    body: bytes | None,
    etag: str | None,
) -> tuple[bytes, bool]:
    """Return the document after ``request``, and whether what was put is new. Raises ``Fault``.

    ``body`` and ``etag`` are those of the document before, None where there is none.
    """
    _check_content(request)
    if selector is None:
        _check_type(request, usage.mime)
        judge(request, etag)
        return request.body, body is None
    is_attribute = isinstance(selector.terminal, AttributeName)
    _check_type(request, ATTRIBUTE_TYPE if is_attribute else ELEMENT_TYPE)
    if body is None:
        raise Conflict("no-parent", "there is no such document", ancestor=f"{address.home}/")
    root = read_tree(body)
    try:
        parent_of(root, selector)
    except LookupError as error:
        raise Conflict(
            "no-parent",
            "a step before the last selects no element",
            ancestor=_ancestor(address, selector, error),
        ) from None
    # RFC 4825 8.2.6: all parts have the tag of the document, also those that are yet to be made.
    judge(request, etag)
    put = put_attribute if is_attribute else put_element
    return put(body, root, selector, request.body)


def _ancestor(address: Address, selector: Selector, error: LookupError) -> str:
    """Return the URI of the closest element that is there (RFC 4825 11.1)."""
    path = f"{address.home}/{encoded(address.name)}"
    steps = selector.texts[: error.args[0]]
    if steps:
        path += "/~~/" + "/".join(encoded(step) for step in steps)
        if address.query:
            path += f"?{encoded(address.query)}"
    return path


def _check_content(request: WebRequest) -> None:
    """Raises ``Fault`` where the body is not the whole, plain representation."""
    coding = (request.header("content-encoding") or "identity").strip().lower()
    if coding != "identity":
        # RFC 9110 15.5.16: no content coding is taken.
        raise Fault(415, f"no Content-Encoding is taken, got {coding[:20]}", ("Accept-Encoding", "identity"))
    if request.header("content-range") is not None:
        # RFC 9110 14.5: what was to be a part would replace all of it.
        raise Fault(400, "a PUT with Content-Range; name the part in the URI")


def _check_type(request: WebRequest, wanted: str) -> None:
    """RFC 4825 8.2.2. Raises ``Fault`` 415."""
    given = request.header("content-type") or ""
    kind, _, parameters = given.partition(";")
    if kind.strip().lower() != wanted:
        raise Fault(415, f"expected Content-Type: {wanted}", ("Accept", wanted))
    charset = parameters.lower().replace(" ", "").replace('"', "").partition("charset=")[2].partition(";")[0]
    if charset not in ("", "utf-8", "us-ascii"):
        raise Conflict("not-utf-8", "the body is said not to be UTF-8")
