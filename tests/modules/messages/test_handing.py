"""A delivery as octets: the requests, the marks and their order are those of the coroutine (``Pair``)."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from sansip.client import Asker, BriefAsker
from sansip.modules.messages import handing
from tests.modules.messages.kept import ways
from tests.modules.messages.pair import PHONE, Pair


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """One node, with rows in memory as well; return the requests that are made as octets."""
    ways.update(shared=False, memory=8_388_608)
    found: list[bytes] = []
    plain = handing._written

    def noting(*given: Any) -> Any:
        one = plain(*given)
        if one is not None:
            found.append(one[0])
        return one

    monkeypatch.setattr(handing, "_written", noting)
    return found


def test_it_hears_what_an_asker_hears() -> None:
    """It does not derive from ``BriefAsker``, and a ``Sending`` calls each of these."""
    heard = [name for kind in (Asker, BriefAsker) for name in vars(kind) if not name.startswith("_")]
    assert "ended" in heard
    for name in heard:
        whole = inspect.signature(getattr(BriefAsker, name))
        assert inspect.signature(getattr(handing.Handing, name)) == whole


def begun(pair: Pair, *texts: str, **given: str) -> None:
    for text in texts:
        pair.receive(pair.message(text, "Subject: s", "Date: Tue, 14 Nov 2023 22:13:00 GMT"))
    pair.come()
    pair.register(**given)


def test_in_order(made: list[bytes]) -> None:
    """One at a time for a device; each device once, also after a refresh."""
    pair = Pair()
    begun(pair, "one", "two", "three")
    assert pair.fetch() == ["one", "two", "three"]
    assert len(made) == 3
    pair.register()
    assert pair.fetch() == []
    pair.register(source="192.0.2.21")
    assert pair.fetch() == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"contact": "<sip:bob@192.0.2.20:5070;x=y>"}, ("192.0.2.20", 5070)),
        ({"contact": "<sip:bob@192.0.2.20;transport=udp>"}, PHONE),
        ({"more": ';+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"'}, PHONE),
        # Behind a NAT: to where its REGISTER came from.
        ({"contact": "<sip:bob@10.0.0.5:5062>", "via": "10.0.0.5:5062"}, PHONE),
    ],
)
def test_where_it_goes(given: dict[str, str], where: tuple[str, int], made: list[bytes]) -> None:
    """To the address of the Contact, or of the NAT in front of it (RFC 3581 4)."""
    pair = Pair()
    begun(pair, "one", **given)
    assert [address for _, address in pair.come()] == [where]
    assert len(made) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"contact": "<sip:bob@phone.example.net>"},
        {"contact": "<sip:bob@192.0.2.20;transport=tcp>"},
        {"contact": "<sips:bob@192.0.2.20>"},
        {"contact": "<sip:bob@192.0.2.20;maddr=nowhere.example.net>"},
    ],
)
def test_what_the_coroutine_sends(given: dict[str, str], made: list[bytes]) -> None:
    """A name, a stream, TLS: a request is made."""
    pair = Pair()
    begun(pair, "one", **given)
    pair.wait(40.0)
    assert made == []


def test_a_large_one(made: list[bytes]) -> None:
    """RFC 3261 18.1.1: it may have to go over TCP."""
    pair = Pair()
    begun(pair, "x" * 2_000, "small")
    pair.wait(1.0)
    assert made == []


@pytest.mark.parametrize(
    ("status", "more"),
    [
        ("200 OK", "Contact: <sip:bob@192.0.2.20>\r\n"),
        ("486 Busy Here", ""),
        ("415 No", ""),
        ("603 Decline", ""),
        ("302 Moved", "Contact: <sip:x@192.0.2.99>\r\n"),
        ("503 Away", ""),
        ("401 Who", 'WWW-Authenticate: Digest realm="x", nonce="y"\r\n'),
    ],
)
def test_answers(status: str, more: str, made: list[bytes]) -> None:
    """Each answer of the phone leads to the same mark and the same actions on both ways."""
    pair = Pair(retry=10)
    begun(pair, "one", "two")
    [(data, where)] = pair.come()
    pair.answer(data, where, "100 Trying")
    pair.answer(data, where, status, more)
    pair.wait(11.0)
    pair.fetch()
    assert made


def test_silence(made: list[bytes]) -> None:
    """RFC 3261 17.1.2.2: it is sent again by Timer E, given up by Timer F, and tried anew later."""
    pair = Pair(retry=10)
    begun(pair, "one")
    pair.wait(60.0)
    pair.register()
    assert pair.fetch()[-1] == "one"


def test_a_mark_that_cannot_be_written() -> None:
    """The delivery is tried later; the phone knows the request (RFC 3261 17.2.2)."""
    pair = Pair(retry=10)
    begun(pair, "one", "two")
    [(data, where)] = pair.come()
    for bench in pair.both:
        bench.broken = True
    pair.answer(data, where)
    for bench in pair.both:
        bench.broken = False
    pair.wait(11.0)
    assert pair.fetch() == ["one", "two"]


@pytest.mark.parametrize("broken", ["_written", "mark_of", "marked"])
def test_an_exception_ends_a_delivery(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module tries the device again later, and a new message for it need not wait until then."""
    pair = Pair(retry=10)
    module = pair.both[0].module
    where: Any = handing if broken == "_written" else module._delivery
    plain = getattr(where, broken)

    def once(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(where, broken, plain)
        raise ValueError

    monkeypatch.setattr(where, broken, once)
    # What only the quick way has need not be compared.
    pair.both = pair.both[:1]
    pair._seen = [pair._seen[0]] * 2
    begun(pair, "one")
    sent = pair.fetch()
    assert not module._delivery._running
    pair.wait(11.0)
    pair.receive(pair.message("two"))
    sent += pair.fetch()
    assert list(dict.fromkeys(sent)) == ["one", "two"]
    assert not module._delivery._running


def test_a_contact_with_headers(made: list[bytes]) -> None:
    """RFC 3261 19.1.1, table 1: a Request-URI has none; the coroutine takes them away."""
    pair = Pair()
    begun(pair, "one", contact="<sip:bob@192.0.2.20?Subject=x>")
    [(data, where)] = pair.come()
    assert data.startswith(b"MESSAGE sip:bob@192.0.2.20 SIP/2.0\r\n")
    pair.answer(data, where)
    assert not made


@pytest.mark.parametrize("given", [{"in_doubt": "give up"}, {"date_in_text": True}, {"memory": 0}])
def test_settings(given: dict[str, Any]) -> None:
    """Marks before the message leaves, the time in the text, rows in the store alone."""
    pair = Pair(**given)
    begun(pair, "one", "two")
    assert len(pair.fetch()) == 2


def test_what_comes_meanwhile() -> None:
    """A message that comes during a delivery is the next one; a phone that leaves gets the rest later."""
    pair = Pair()
    begun(pair, "one")
    pair.receive(pair.message("two"))
    assert pair.fetch() == ["one", "two"]
    pair.register(more=";expires=0")
    begun(pair, "three", "four")
    [(data, where)] = pair.come()
    pair.register(more=";expires=0")
    pair.answer(data, where)
    assert pair.come() == []
    pair.register()
    assert pair.fetch() == ["four"]


def test_a_restart_in_between() -> None:
    """RFC 3261 17.2.3: the same request to the same branch."""
    pair = Pair()
    begun(pair, "one", "two")
    [(first, _)] = pair.come()
    pair.restart()
    pair.wait(0.1)
    pair.register()
    [(again, where)] = pair.come()
    assert first == again
    pair.answer(again, where)
    assert pair.fetch() == ["two"]
