"""Documents that nobody writes: capabilities, a user's directory, the services of all users."""

from __future__ import annotations

from sansip.module.xml import read_xml
from sansip.modules.xcap.schemas import validate
from tests.modules.xcap.served import (
    ADMIN,
    BASE,
    BILL,
    ELEMENT,
    JOE,
    LISTS,
    ROOT,
    SERVICES,
    Client,
    client,
    etag,
    service,
)


def test_capabilities() -> None:
    """RFC 4825 12: valid by its schema; parts can be read; its tag holds."""
    bill = client()
    path = f"{ROOT}/xcap-caps/global/index"
    got = bill.get(path)
    assert got.content_type == "application/xcap-caps+xml"
    assert validate(read_xml(got.body), "xcap-caps") == ""
    for one in ("<auid>xcap-caps</auid>", "<auid>pres-rules</auid>", ">urn:ietf:params:xml:ns:xcap-caps<"):
        assert one in got.body.decode()
    assert bill.get(path, if_none_match=etag(got)).status == 304
    assert bill.get(f"{path}/~~/xcap-caps/auids/auid%5B1%5D").content_type == ELEMENT


def test_the_directory() -> None:
    """OMA XDM: which documents a user has, with their tags."""
    bill = client()
    tag = etag(bill.put(LISTS, BASE)).strip('"')
    got = bill.get(f"{ROOT}/org.openmobilealliance.xcap-directory/users/{BILL}/directory.xml").body.decode()
    assert (
        f'<folder auid="resource-lists"><entry uri="{LISTS}" etag="{tag}" size="{len(BASE)}"/></folder>'
        in got
    )


def test_all_services_in_one_document() -> None:
    """RFC 4826 4.4.8: for trusted users; each service stays what it was, whatever prefixes it uses."""
    bill = client()
    joe, admin = Client(bill.bench, JOE), Client(bill.bench, ADMIN)
    bill.put(SERVICES, service())
    prefixed = (
        b'<s:rls-services xmlns:s="urn:ietf:params:xml:ns:rls-services" '
        b'xmlns="urn:ietf:params:xml:ns:resource-lists">'
        b'<s:service uri="sip:b@example.com"><s:list><entry uri="sip:j@example.com"/></s:list></s:service>'
        b"</s:rls-services>"
    )
    assert joe.put(SERVICES.replace(BILL, JOE), prefixed).status == 201
    path = f"{ROOT}/rls-services/global/index"
    got = admin.get(path)
    root = read_xml(got.body)
    assert validate(root, "rls-services") == ""
    assert {one.get("uri") for one in root} == {"sip:friends@example.com", "sip:b@example.com"}
    one = admin.get(f"{path}/~~/rls-services/service%5B@uri=%22sip:b@example.com%22%5D/@uri")
    assert one.body == b'"sip:b@example.com"'
    assert admin("DELETE", path).status == 405
