"""Temporary GRUUs against RFC 5627 5.1 and 5.3 taken word for word: a table of them, kept the obvious way.

The registrar keeps no table: it proves from the bindings alone which of all those it
ever gave out are valid. Whatever phones do, both must agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sansip.entropy import Entropy
from sansip.limits import DEFAULT
from sansip.registrar import Gruus, Registrar, RegistrarConfig
from sansip.wire import parse_uri
from tests.registrar.conftest import Site

INSTANCES = ("urn:uuid:1", "urn:uuid:2")


@dataclass
class Contact:
    """A binding as the RFC speaks of it."""

    instance: str
    reg_id: int | None
    uri: str
    call_id: str
    refreshed: float
    expires: float


@dataclass
class Device:
    """The memory that the RFC demands of a registrar for one instance."""

    valid: set[str] = field(default_factory=set)


class Phones(RuleBasedStateMachine):
    """Two devices of alice, with flows and without."""

    def __init__(self):
        super().__init__()
        self.site = Site()
        self.gruus = Gruus(b"a key of sixteen", Entropy(b"a seed of sixteen"))
        self.site.registrar = Registrar(RegistrarConfig(), DEFAULT, self.gruus)
        self.contacts: list[Contact] = []
        self.devices = {instance: Device() for instance in INSTANCES}
        self.given: list[tuple[str, str]] = []

    def live(self, instance):
        return [one for one in self.contacts if one.instance == instance and one.expires > self.site.now]

    def settle(self):
        """5.3: with the last contact of an instance all its temporary GRUUs go."""
        self.contacts = [one for one in self.contacts if one.expires > self.site.now]
        for instance, device in self.devices.items():
            if not self.live(instance):
                device.valid.clear()

    @rule(
        instance=st.sampled_from(INSTANCES),
        reg_id=st.sampled_from([None, 1, 2]),
        host=st.sampled_from(["192.0.2.1", "192.0.2.2"]),
        call_id=st.sampled_from(["a", "b", "c"]),
        expires=st.sampled_from([60, 600, 0]),
    )
    def register(self, instance, reg_id, host, call_id, expires):
        site = self.site
        self.settle()
        uri = f"sip:{instance[-1]}@{host}"
        mark = "" if reg_id is None else f";reg-id={reg_id}"
        contact = f'<{uri}>;+sip.instance="<{instance}>"{mark};expires={expires}'
        reply = site.send(contact, headers=("Supported: gruu, outbound, path",), call_id=call_id)
        assert reply.status == 200
        here = self.live(instance)
        if reg_id is None and not expires:
            gone = [one for one in here if one.uri == uri]
        elif reg_id is None:
            gone = [one for one in here if one.uri == uri and one.reg_id is None]
        else:
            gone = [one for one in here if one.reg_id == reg_id]
        if expires:
            device = self.devices[instance]
            # 5.1: contacts of the same instance and, for a flow, of the same reg-id.
            compared = [one for one in here if reg_id is None or one.reg_id == reg_id]
            if compared and max(compared, key=lambda one: one.refreshed).call_id != call_id:
                device.valid.clear()
            kept = [one for one in self.contacts if one not in gone]
            self.contacts = [*kept, Contact(instance, reg_id, uri, call_id, site.now, site.now + expires)]
            values = [value for name, value in reply.headers if name == "Contact" and instance in value]
            (told,) = set(re.findall('temp-gruu="([^"]+)"', " ".join(values)))
            device.valid.add(told)
            self.given.append((instance, told))
        else:
            self.contacts = [one for one in self.contacts if one not in gone]
            self.settle()
        site.now += 1

    @rule(seconds=st.sampled_from([1, 59, 61, 599]))
    def wait(self, seconds):
        self.site.now += seconds
        self.site.location.expire(self.site.now)

    @invariant()
    def both_agree(self):
        self.settle()
        bound = self.site.bindings()
        for instance, text in self.given:
            gruu = self.gruus.read(parse_uri(text))
            found = self.gruus.bindings(gruu, "sip:alice@example.com", bound, None)
            valid = text in self.devices[instance].valid
            expected = sorted(one.uri for one in self.live(instance)) if valid else []
            assert sorted(one.contact for one in found) == expected


TestPhones = Phones.TestCase
TestPhones.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
