"""Lists of URIs: absolute and relative ones, collections, what can name nothing, limits."""

from __future__ import annotations

import pytest

from sansip.modules.xcap.address import parse_address
from sansip.modules.xcap_diff.selection import Collection, Part, Selection, read_selections

ALICE = "sip:alice@biloxi.test"
ROOT = "/xcap-root"


def uris(*uris: str) -> bytes:
    entries = "".join(f'<entry uri="{one}"/>' for one in uris)
    return (
        '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">'
        f"<list>{entries}</list></resource-lists>"
    ).encode()


def read(*wanted: str, root: str = ROOT) -> tuple[Selection, ...]:
    return read_selections(uris(*wanted), root, 8)


def test_documents_and_parts() -> None:
    """RFC 5875 4.4: URIs relative to the XCAP root, as they stand in its figure 1."""
    document, part = read(
        f"resource-lists/users/{ALICE}/index",
        f"rls-services/users/{ALICE}/index/~~/*/service%5b@uri='sip:marketing@example.com'%5d",
    )
    assert isinstance(document.wanted, Part)
    assert isinstance(part.wanted, Part)
    assert document.wanted.address.user == ALICE
    assert document.wanted.selector is None
    assert part.wanted.selector is not None
    assert len(part.wanted.selector.steps) == 2
    assert document.root == ""


@pytest.mark.parametrize(
    ("uri", "root"),
    [
        (f"http://xcap.biloxi.test/xcap-root/pres-rules/users/{ALICE}/index", "/xcap-root"),
        (f"/xcap-root/pres-rules/users/{ALICE}/index", "/xcap-root"),
        (f"HTTPS://xcap.biloxi.test:8443/pres-rules/users/{ALICE}/index", ""),
    ],
)
def test_other_forms(uri: str, root: str) -> None:
    """Absolute URIs and paths name the same; the root that they have is kept for the answer."""
    (one,) = read(uri, root=root)
    assert one.text == uri
    assert isinstance(one.wanted, Part)
    assert one.wanted.address.name == "index"
    assert one.root == (uri.partition("pres-rules")[0] if "//" in uri else "")


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("pidf-manipulation/", Collection("pidf-manipulation")),
        ("pres-rules/users/", Collection("pres-rules", "users")),
        ("pres-rules/global/", Collection("pres-rules", "global")),
        (
            f"pres-rules/users/{ALICE}/",
            Collection("pres-rules", "users", parse_address(f"{ROOT}/pres-rules/users/{ALICE}/", "", ROOT)),
        ),
        ("http://h.test/xcap-root/", Collection("")),
    ],
)
def test_collections(uri: str, wanted: Collection) -> None:
    """RFC 5875 4.1: a URI with a slash at its end."""
    (one,) = read(uri)
    assert one.wanted == wanted


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "unknown/",
        "unknown/users/x@biloxi.test/index",
        "pres-rules/users/a/b/",
        f"pres-rules/users/{ALICE}/deeper/index",
        "/elsewhere/pres-rules/global/index",
        f"pres-rules/users/{ALICE}/index/~~/ruleset/namespace::*",
        f"pres-rules/users/{ALICE}/index/~~/p:ruleset",
        f"pres-rules/users/{ALICE}/index/~~//ruleset",
        "%ff/users/x/index",
    ],
)
def test_what_can_name_nothing(uri: str) -> None:
    """RFC 5875 4.7: what cannot be found is no error; namespaces (4.1) are told to nobody."""
    assert read(uri) == ()


def test_nothing_twice() -> None:
    """RFC 5875 4.7: superfluous selections are told once."""
    uri = f"pres-rules/users/{ALICE}/index"
    assert len(read(uri, uri, f"/xcap-root/{uri}", "pres-rules/", "pres-rules/")) == 2


@pytest.mark.parametrize("body", [b"", b"<x", b"<resource-lists/>", uris(*"abcdefghi")])
def test_no_list(body: bytes) -> None:
    """What is no list is refused, and so is one of more URIs than the limit."""
    with pytest.raises(ValueError):
        read_selections(body, ROOT, 8)
