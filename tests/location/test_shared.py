"""The mirror of a shared location: versions, expiry, its bound."""

from __future__ import annotations

from sansip.limits import Limits
from sansip.location import Binding, NodeFlow, SharedLocation, SharedRecord

AOR = "sip:bob@biloxi.test"


def binding(expires_at: float = 100.0, aor: str = AOR, flow: NodeFlow | None = None) -> Binding:
    return Binding(aor, "sip:bob@192.0.2.2", expires_at, "call", 1, flow=flow)


def test_what_is_mirrored_is_found_with_its_version() -> None:
    """A refresh plans from this, under this version."""
    location = SharedLocation()
    assert location.version(AOR) == ""
    assert location.mirror(AOR, SharedRecord("one", (binding(),)), 0.0) == (binding(),)
    assert (location.lookup(AOR, 0.0), location.version(AOR)) == ([binding()], "one")
    location.mirror(AOR, SharedRecord("two", (binding(200.0),)), 0.0)
    assert (location.lookup(AOR, 0.0), location.version(AOR)) == ([binding(200.0)], "two")


def test_nothing_left_has_no_version() -> None:
    """Removed, expired or never there: all are the same to the next write."""
    location = SharedLocation()
    for end in (
        lambda: location.mirror(AOR, SharedRecord("two", ()), 0.0),
        lambda: location.mirror(AOR, SharedRecord("two", (binding(),)), 100.0),
        lambda: location.expire(102.0),
        lambda: location.remove(AOR, 0.0),
    ):
        location.mirror(AOR, SharedRecord("one", (binding(),)), 0.0)
        end()
        assert (location.version(AOR), len(location), location._versions) == ("", 0, {})


def test_limits_aors() -> None:
    """A binding that does not fit is not held, but given back all the same."""
    location = SharedLocation(Limits(aors=1))
    location.mirror(AOR, SharedRecord("one", (binding(),)), 0.0)
    other = binding(aor="sip:eve@biloxi.test")
    assert location.mirror(other.aor, SharedRecord("two", (other,)), 0.0) == (other,)
    assert (location.lookup(other.aor, 0.0), location.version(other.aor)) == ([], "")
    # Held values may change.
    location.mirror(AOR, SharedRecord("three", (binding(),)), 0.0)
    assert location.version(AOR) == "three"


def test_flows_of_other_nodes_are_no_connections_of_ours() -> None:
    """Only ours can be lost here: those of others are not even indexed."""
    location = SharedLocation()
    flow = NodeFlow("a", "life", "ws", 1, 5, "token", False)
    location.mirror(AOR, SharedRecord("one", (binding(flow=flow),)), 0.0)
    assert not location.aors_of(flow)
