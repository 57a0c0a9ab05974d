"""Names of bindings: a phone is known again by its flow, its instance, its Contact or its Call-ID."""

from __future__ import annotations

from typing import Any

from sansip.location import Binding, key_of, named_by


def binding(contact: str = "sip:bob@10.0.0.9", call_id: str = "one", **options: Any) -> Binding:
    return Binding("sip:bob@biloxi.test", contact, 3600.0, call_id, 1, **options)


FLOW = {"instance": "urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "reg_id": 1}


def test_the_flow_before_other_flows() -> None:
    """RFC 5626 5.3.2: any valid flow to the instance will do; the flow that the caller meant comes first."""
    key = key_of(binding(**FLOW))
    same = binding("sip:bob@elsewhere.invalid", "another", **FLOW)
    second = binding("sip:bob@elsewhere.invalid", "third", **{**FLOW, "reg_id": 2}, refreshed_at=9.0)
    stranger = binding("sip:bob@10.0.0.9", "fourth", instance="urn:uuid:another", reg_id=1)
    assert named_by(key, [second, stranger, same]) is same
    assert named_by(key, [stranger, second]) is second
    assert named_by(key, [stranger]) is None


def test_an_instance_has_no_case() -> None:
    """RFC 4122 3: some phones write it in capitals after a restart."""
    lower = binding("sip:bob@b.invalid", "two", **{**FLOW, "instance": str(FLOW["instance"]).lower()})
    assert named_by(key_of(binding(**FLOW)), [lower]) is lower


def test_the_contact_then_the_call_id() -> None:
    """Phones without an instance: RFC 3261 10.2 gives all registrations of one phone one Call-ID."""
    key = key_of(binding())
    same_contact, same_call = binding(call_id="two"), binding("sip:bob@10.0.0.9:40001")
    assert named_by(key, [same_call, same_contact]) is same_contact
    assert named_by(key, [same_call]) is same_call
    assert named_by(key, [binding("sip:bob@10.0.0.9:40001", "two")]) is None
    assert named_by(key, []) is None


def test_the_named_flow_alone() -> None:
    """RFC 5626 5.3.1: a caller with a target for each flow asks for this one."""
    key = key_of(binding(**FLOW))
    same, second = binding(call_id="two", **FLOW), binding(**{**FLOW, "reg_id": 2})
    assert named_by(key, [second, same], exact=True) is same
    assert named_by(key, [second], exact=True) is None


def test_of_one_phone_the_newest() -> None:
    """Its connection broke, and the server does not know: where it registered last is where it is."""
    key = key_of(binding())
    old, new = (binding(f"sip:bob@b{n}.invalid", refreshed_at=float(n)) for n in (1, 2))
    first = binding()
    for bound in ([first, old, new], [new, old, first]):
        assert named_by(key, bound) is new
    # Two Contacts of one REGISTER.
    second = binding("sip:bob@10.0.0.9:5062")
    assert named_by(key, [second, first]) is first
    instance = {"instance": FLOW["instance"]}
    moved = binding("sip:bob@10.0.0.9:40001", "two", **instance, refreshed_at=1.0)
    assert named_by(key_of(binding(**instance)), [binding(**instance), moved]) is moved
