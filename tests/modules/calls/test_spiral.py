"""An INVITE that comes back here as a branch of itself is the same call."""

from __future__ import annotations

from tests.modules.calls.calling import CONTACT, bench, invite
from tests.rig import BOB, only, request


def test_a_spiral_is_one_call() -> None:
    """A request that comes back here for another user (RFC 3261 16.6 step 8) is counted once."""
    rig, calls = bench()
    rig.register("sip:carol@192.0.2.3", ("192.0.2.3", 5060), aor="sip:carol@biloxi.test")
    arrived = invite(rig)
    vias = ", ".join(["SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKback", *arrived.message.values("via")])
    back = request(uri="sip:carol@biloxi.test", via=vias, source=BOB, headers=[CONTACT])
    assert only(rig.udp(back, BOB), "INVITE").to == ("192.0.2.3", 5060)
    assert len(calls) == 1
    # The callee knows our branch; another INVITE of its own is another call all the same.
    other = request(uri="sip:carol@biloxi.test", via=vias.replace("back", "own"), source=BOB, from_tag="x",
                    call_id="own", headers=[CONTACT])  # fmt: skip
    rig.udp(other, BOB)
    assert len(calls) == 2
