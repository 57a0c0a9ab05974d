"""The lists of a user (RFC 4826): which members each service has; no user's document is dear to read."""

from __future__ import annotations

import pytest

from sansip.modules.lists import services as module
from sansip.modules.lists.services import Member, members_of, parse_lists, parse_services

LISTS = "urn:ietf:params:xml:ns:resource-lists"
SERVICES = "urn:ietf:params:xml:ns:rls-services"
PLACE = "http://xcap.biloxi.test/resource-lists/users/sip:bob@biloxi.test/index/~~/resource-lists"


def lists(inner: str) -> bytes:
    return f'<resource-lists xmlns="{LISTS}">{inner}</resource-lists>'.encode()


def entries(*uris: str) -> str:
    return "".join(f'<entry uri="{uri}"/>' for uri in uris)


def services(**named: str) -> bytes:
    """Services by user name, each with the list of ``resource-lists`` that it names."""
    inner = "".join(
        f'<service uri="sip:{user}@biloxi.test"><resource-list>'
        f"{PLACE}/list%5B@name=%22{name}%22%5D</resource-list></service>"
        for user, name in named.items()
    )
    return f'<rls-services xmlns="{SERVICES}">{inner}</rls-services>'.encode()


def test_lists_in_lists() -> None:
    """RFC 4826 3.2: a list has those of lists in it, in order, each once; of two names the first counts."""
    found = parse_lists(
        lists(
            f'<list name="a">{entries("sip:1@x.test")}'
            f'<list name="b">{entries("sip:2@x.test", "sip:3@x.test")}'
            f'<list name="a">{entries("sip:4@x.test")}</list></list>{entries("sip:2@x.test")}</list>'
            f'<list>{entries("sip:5@x.test")}</list><list name="b">{entries("sip:6@x.test")}</list>'
        )
    )
    assert {name: [one.uri for one in members] for name, members in found.items()} == {
        "a": ["sip:1@x.test", "sip:2@x.test", "sip:3@x.test", "sip:4@x.test"],
        "b": ["sip:2@x.test", "sip:3@x.test", "sip:4@x.test"],
    }


def test_each_entry_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty lists in each other, with 1,500 entries in the innermost: 30,000 URIs were read before."""
    read: list[str | None] = []
    user = module._user

    def counted(text: str | None) -> str:
        read.append(text)
        return user(text)

    monkeypatch.setattr(module, "_user", counted)
    inner = entries(*(f"sip:u{number}@x.test" for number in range(1_500)))
    head = "".join(f'<list name="l{number}">' for number in range(20))
    found = parse_lists(lists(head + inner + "</list>" * 20))
    assert {len(members) for members in found.values()} == {1_500}
    assert len(found) == 20
    assert len(read) == 1_500


class Counted(dict[str, list[Member]]):
    """Lists that count how many members are looked at."""

    looked = 0

    def get(self, name: str, default: object = ()) -> list[Member]:
        found = super().get(name, [])
        self.looked += len(found)
        return found


def test_services_that_name_each_other() -> None:
    """Fifty that name one list with all of them 36 times: each is looked at once, not 1,800 times."""
    names = [f"s{number}" for number in range(50)]
    group = f"<list>{entries(*(f'sip:{name}@biloxi.test' for name in names))}</list>"
    named = Counted(parse_lists(lists(f'<list name="a">{group * 36}</list>')))
    found = parse_services(services(**dict.fromkeys(names, "a")))
    assert members_of(found["sip:s0@biloxi.test"], found, named, 200) == []
    assert named.looked == 50 * 50


def test_a_circle_loses_no_member() -> None:
    """RFC 4662 7.4: services that name each other end, and each has the members of all."""
    named = parse_lists(
        lists(
            f'<list name="a">{entries("sip:b@biloxi.test", "sip:1@x.test")}</list>'
            f'<list name="b">{entries("sip:a@biloxi.test", "sip:2@x.test", "sip:1@x.test")}</list>'
        )
    )
    found = parse_services(services(a="a", b="b"))
    for name in ("a", "b"):
        members = members_of(found[f"sip:{name}@biloxi.test"], found, named, 200)
        assert {one.uri for one in members} == {"sip:1@x.test", "sip:2@x.test"}
        assert len(members) == 2
    assert len(members_of(found["sip:a@biloxi.test"], found, named, 1)) == 1
