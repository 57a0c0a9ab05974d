"""Attacks on lists, live: two documents of one user that took half a minute to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_presence import ctl
from tests.interop.test_module_xcap import BOB, DOMAIN, LISTS_TYPE, PASSWORD, USERS, config
from tests.interop.xcap_client import Raw
from tools.peers import free_port

pytestmark = pytest.mark.interop

ROOT = "/xcap-root"
SERVICES_TYPE = "application/rls-services+xml"
NAMES = [f"sip:s{number}@{DOMAIN}" for number in range(50)]


def lists(inner: str) -> bytes:
    return f'<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">{inner}</resource-lists>'.encode()


def entries(uris: list[str]) -> str:
    return "".join(f'<entry uri="{uri}"/>' for uri in uris)


# Each service names the list that names each service, 36 times.
CIRCLE = lists(f'<list name="a">{36 * f"<list>{entries(NAMES)}</list>"}</list>')
PLACE = f"http://{DOMAIN}{ROOT}/resource-lists/users/{BOB}/index/~~/resource-lists/list%5B@name=%22a%22%5D"
SERVICES = (
    '<rls-services xmlns="urn:ietf:params:xml:ns:rls-services">'
    + "".join(f'<service uri="{name}"><resource-list>{PLACE}</resource-list></service>' for name in NAMES)
    + "</rls-services>"
).encode()
HEADS = "".join(f'<list name="l{number}">' for number in range(20))
NESTED = lists(HEADS + entries([f"sip:u{number}@x.test" for number in range(1_500)]) + "</list>" * 20)


def test_lists_that_name_each_other(tmp_path: Path) -> None:
    """55 KB of two documents cost 24 s; 50 KB of lists in each other 0.2 s at each PUT and reading."""
    http = (LOCAL, free_port())
    with Siege(tmp_path, domain=DOMAIN, config=config(http[1]), users=USERS, transports=("udp",)) as siege:
        bob = Raw(http, "bob", PASSWORD)
        with siege.watched() as watch:
            for body in (NESTED, CIRCLE):
                answer = bob("PUT", f"{ROOT}/resource-lists/users/{BOB}/index", body, LISTS_TYPE)
                assert answer.status in (200, 201), answer
            answer = bob("PUT", f"{ROOT}/rls-services/users/{BOB}/index", SERVICES, SERVICES_TYPE)
            assert answer.status == 201, answer
            # What a SUBSCRIBE of bob has read as well.
            assert ctl(tmp_path, "lists.show", f"user={BOB}") == {name: [] for name in NAMES}
        bob.close()
    assert watch.spent < 1.0
