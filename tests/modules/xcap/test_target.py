"""What the credentials of a request may say about its target (RFC 7616 3.4.6, RFC 9112 3.2.2)."""

from __future__ import annotations

import pytest

from sansip.module import WebRequest
from sansip.modules.xcap.target import target_of

PATH = "/xcap-root/resource-lists/users/sip:bob@example.com/index"


def asked(uri: str, query: str = "") -> str:
    request = WebRequest("GET", PATH, query, (("host", "xcap.example.com:8080"),))
    return target_of(
        request, f'Digest username="bob", realm="example.com", nonce="n", uri="{uri}", response="r"'
    )


@pytest.mark.parametrize(
    "uri",
    [
        PATH,
        f"{PATH}?",
        f"http://xcap.example.com:8080{PATH}",
        f"HTTPS://XCAP.example.com:8080{PATH}?",
    ],
)
def test_the_same_resource(uri: str) -> None:
    """The digest is over the target as the client wrote it."""
    assert asked(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        f"{PATH}x",
        f"{PATH}?a",
        f"{PATH}??",
        f"http://xcap.example.com{PATH}",
        f"http://other.example.com:8080{PATH}",
        f"ftp://xcap.example.com:8080{PATH}",
        "http://xcap.example.com:8080",
        "",
    ],
)
def test_another_resource(uri: str) -> None:
    """It may be an attack: the credentials have to be for this request."""
    assert asked(uri) == PATH


def test_a_query() -> None:
    """The query is a part of the target."""
    query = "xmlns(a=urn:a)"
    assert asked(f"http://xcap.example.com:8080{PATH}?{query}", query).startswith("http:")
    assert asked(PATH, query) == f"{PATH}?{query}"


def test_no_credentials() -> None:
    """What cannot be read is judged elsewhere."""
    assert target_of(WebRequest("GET", PATH), "") == PATH
    assert target_of(WebRequest("GET", PATH), "Digest ,,") == PATH
