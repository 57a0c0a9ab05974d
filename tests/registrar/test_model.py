"""The registrar against a naive model of RFC 3261 10.3, on a virtual clock.

The model is the RFC's text done slowly: a copy of the bindings, changed value
by value, kept if nothing fails. It knows which URIs are equal from a table
and not from a parser, and it never sorts, indexes or shares anything.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sansip.limits import Limits

from .conftest import Site, values

# Spellings of five contacts; within a row they are equal by 19.1.4.
SPELLINGS = [
    ["<sip:alice@192.0.2.1>", "<SIP:%61lice@192.0.2.1>", "sip:alice@192.0.2.1", "<sip:alice@192.0.2.1;x=1>"],
    ["<sip:alice@192.0.2.1:5060>"],
    ["<sip:alice@192.0.2.1;transport=tcp>", "<sip:alice@192.0.2.1;Transport=TCP>"],
    ["<sip:bob@Host.example>", "<sip:bob@host.EXAMPLE>"],
    ["<tel:+1-212-555-1212>", "<tel:+12125551212>"],
]
CONTACTS = [(row, value) for row, spellings in enumerate(SPELLINGS) for value in spellings]
MAX_CONTACTS = 3

value = st.tuples(
    st.sampled_from(CONTACTS),
    # Refusals are rare, or hardly any request would get as far as the bindings.
    st.sampled_from([None] * 6 + ["0"] * 4 + ["60", "600", "100000", "x", "9"]),
    st.sampled_from([None] * 6 + ["0.5"] * 4 + ["1", "2"]),
)


@dataclass
class Row:
    text: str
    call_id: str
    cseq: int
    since: float
    until: float
    q: str | None


class RefusedError(Exception):
    """The model's way out: the status."""


class RegistrarMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.site = Site(limits=Limits(bindings_per_aor=MAX_CONTACTS))
        self.model: dict[int, Row] = {}
        self.cseq = 0
        self.last: tuple[list, str, int, str | None] = ([], "one", 1, None)

    def drop_expired(self):
        self.model = {k: r for k, r in self.model.items() if r.until > self.site.now}

    @rule(
        contacts=st.lists(value, max_size=3),
        call_id=st.sampled_from(["one", "one", "two"]),
        step=st.sampled_from([1, 1, 1, 0, -1]),
        expires=st.sampled_from([None, None, "0", "59", "120"]),
    )
    def register(self, contacts, call_id, step, expires):
        self.cseq = max(1, self.cseq + step)
        self.send(contacts, call_id, self.cseq, expires)

    @rule(more=st.lists(value, max_size=1), step=st.sampled_from([0, 0, 1, -1]))
    def register_again(self, more, step):
        contacts, call_id, cseq, expires = self.last
        self.send([*more, *contacts], call_id, max(1, cseq + step), expires)

    def send(self, contacts, call_id, cseq, expires):
        self.last = (contacts, call_id, cseq, expires)
        self.drop_expired()
        try:
            wanted = self.update(contacts, call_id, cseq, expires)
            status = 200
        except RefusedError as refused:
            status = refused.args[0]
        else:
            self.model = wanted

        reply = self.site.send(*map(write, contacts), call_id=call_id, cseq=cseq, expires=expires)

        assert reply.status == status
        if status == 200:
            said = [text[1:].partition(">")[0] for text in values(reply, "Contact")]
            assert said == self.site.contacts()

    def update(self, contacts, call_id, cseq, expires):
        now = self.site.now
        rows = copy.deepcopy(self.model)
        repeats = changes = 0
        if len(contacts) > MAX_CONTACTS:
            raise RefusedError(503)
        seconds = [granted(own if own is not None else expires) for _, own, _ in contacts]
        if any(q == "2" for _, _, q in contacts):
            raise RefusedError(400)
        if any(s is None for s in seconds):
            raise RefusedError(423)
        fresh = set()
        for ((key, text), _, q), interval in zip(contacts, seconds, strict=True):
            row = rows.get(key)
            if row is not None and key not in fresh and row.call_id == call_id and cseq <= row.cseq:
                same = (row.cseq, row.text, row.q, row.until - row.since) == (cseq, strip(text), q, interval)
                if not same or now - row.since >= 32:
                    raise RefusedError(500)
                repeats += 1
                continue
            if row is not None and key not in fresh:
                changes += 1
            if interval:
                rows[key] = Row(strip(text), call_id, cseq, now, now + interval, q)
                fresh.add(key)
            else:
                rows.pop(key, None)
                fresh.discard(key)
        if repeats and (changes or fresh):
            raise RefusedError(500)
        if len(rows) > MAX_CONTACTS and len(rows) > len(self.model):
            raise RefusedError(503)
        return rows

    @rule(
        call_id=st.sampled_from(["one", "two"]),
        step=st.sampled_from([1, 0, -1]),
        expires=st.sampled_from(["0", "0", "0", None, "5"]),
    )
    def remove_all(self, call_id, step, expires):
        self.cseq = cseq = max(1, self.cseq + step)
        self.drop_expired()
        if expires != "0":
            status = 400
        elif any(r.call_id == call_id and cseq <= r.cseq for r in self.model.values()):
            status = 500
        else:
            status = 200
            self.model = {}

        assert self.site.send("*", call_id=call_id, cseq=cseq, expires=expires).status == status

    @rule(seconds=st.sampled_from([1, 10, 22, 60, 600]))
    def time_passes(self, seconds):
        self.site.now += seconds

    @rule()
    def sweep(self):
        self.site.location.expire(self.site.now)

    @invariant()
    def the_proxy_sees_what_the_model_says(self):
        now = self.site.now
        rows = sorted((r.text, r.call_id, r.cseq, r.until) for r in self.model.values() if r.until > now)
        bindings = self.site.bindings()
        assert sorted((b.contact, b.call_id, b.cseq, b.expires_at) for b in bindings) == rows
        ranks = [b.rank for b in bindings]
        assert ranks == sorted(ranks)


def granted(text):
    """The interval for what a phone wrote: None is too brief."""
    if text is None or text == "x":
        return 3600
    seconds = int(text)
    return None if 0 < seconds < 10 else min(seconds, 86400)


def write(contact):
    (_, text), expires, q = contact
    return text + ("" if expires is None else f";expires={expires}") + ("" if q is None else f";q={q}")


def strip(text):
    return text.strip("<>")


TestRegistrar = RegistrarMachine.TestCase
TestRegistrar.settings = settings(stateful_step_count=30)
