"""Each contact is one more copy of every call: how many stand, and which go where there are more."""

from __future__ import annotations

import pytest

from sansip.location import Binding
from sansip.registrar import Terms
from sansip.registrar.capacity import fit
from tests.registrar.conftest import ALICE


def contact(number: int) -> str:
    return f"sip:alice@192.0.2.{number}"


def fill(site, count):
    for number in range(1, count + 1):
        site.now += 1
        assert site.send(f"<{contact(number)}>").status == 200


def test_ten_by_default(site):
    """No user has more phones that ring at once; the eleventh is told so, and nothing changes."""
    fill(site, 10)
    reply = site.send(f"<{contact(11)}>")

    assert (reply.status, reply.reason, reply.decided_by) == (
        503,
        "Too Many Contacts",
        "registrar.max_contacts",
    )
    assert len(site.contacts()) == 10
    assert site.send(f"<{contact(3)}>").status == 200


def test_replace_oldest(make_site):
    """Some phones come back under another Contact each time: the latest ones are there."""
    site = make_site(max_contacts=3, on_full="replace-oldest")
    fill(site, 5)
    assert site.contacts() == [contact(5), contact(4), contact(3)]
    # A refreshed binding is not the oldest.
    site.now += 1
    site.send(f"<{contact(3)}>")
    site.now += 1
    site.send(f"<{contact(6)}>")
    assert site.contacts() == [contact(6), contact(3), contact(5)]


def test_its_own_contacts_stay(make_site):
    """A request that brings more than may stand is refused, for nothing of its own can go."""
    site = make_site(max_contacts=2, on_full="replace-oldest")
    fill(site, 2)
    assert site.send(*(f"<{contact(number)}>" for number in (3, 4, 5))).status == 503
    assert site.contacts() == [contact(2), contact(1)]
    assert site.send(f"<{contact(3)}>", f"<{contact(4)}>").status == 200
    assert set(site.contacts()) == {contact(3), contact(4)}


@pytest.mark.parametrize("on_full", ["refuse", "replace-oldest"])
def test_the_dead_never_count(make_site, make_register, on_full):
    """A browser's Contact is a new one each time, and its old connection is gone: it must always get in."""
    site = make_site(max_contacts=3, on_full=on_full)
    fill(site, 3)
    dead = {contact(2), contact(3)}
    terms = Terms(is_dead=lambda binding: binding.contact in dead)
    for number, left in ((4, {1, 3, 4}), (5, {1, 4, 5})):
        request = make_register(f"<{contact(number)}>", cseq=20 + number)
        current = site.location.lookup(ALICE, site.now)
        plan = site.registrar.plan(request, ALICE, current, site.now, terms=terms)
        assert plan.reply.status == 200
        site.location.apply(plan.update, site.now)
        assert set(site.contacts()) == {contact(one) for one in left}


def test_a_route_may_say_how_many(site, make_register):
    """Per user or domain: a call centre has more than a flat."""
    fill(site, 3)
    current = site.location.lookup(ALICE, site.now)
    request = make_register(f"<{contact(4)}>", cseq=20)
    for terms, wanted in (
        (Terms(max_contacts=3), 503),
        (Terms(max_contacts=3, on_full="replace-oldest"), 200),
        (Terms(max_contacts=4), 200),
    ):
        assert site.registrar.plan(request, ALICE, current, site.now, terms=terms).reply.status == wanted


def test_a_limit_that_was_lowered():
    """Refreshing what stands is let through; one more is not."""
    bindings = [Binding("a", contact(number), 100.0, "c", 1) for number in range(4)]
    options = {"stays": lambda one: one is bindings[0], "is_dead": lambda one: False, "replace_oldest": False}
    assert fit(bindings, 4, 2, **options) == bindings
    assert fit(bindings, 3, 2, **options) is None
