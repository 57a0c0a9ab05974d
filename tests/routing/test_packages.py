"""Event state that no server here keeps: 404, and the phone does not get its own request back."""

from __future__ import annotations

import pytest

from tests.rig import ALICE, BOB, BOB_URI, Rig, only, request, what

AOR = "<sip:bob@biloxi.test>"


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.register(BOB_URI)
    return made


def test_publish(rig: Rig) -> None:
    """RFC 3903 6 step 1: not responsible for the state of that resource, so 404."""
    headers = [("Event", "presence"), ("Expires", "3600")]
    data = request("PUBLISH", source=BOB, sender=AOR, headers=headers)
    assert what(rig.udp(data, BOB)) == ["404"]


@pytest.mark.parametrize("name", ["Event", "o", "eVENT"])
@pytest.mark.parametrize("package", ["message-summary", "message-summary;id=7", "presence.winfo", "reg"])
def test_own_state(rig: Rig, name: str, package: str) -> None:
    """RFC 3842: a phone that asks for its waiting messages asks a server.

    Relayed, the request would come back to the phone.
    """
    data = request("SUBSCRIBE", source=BOB, sender=AOR, headers=[(name, package), ("Expires", "3600")])
    assert what(rig.udp(data, BOB)) == ["404"]


@pytest.mark.parametrize(
    ("sender", "package"),
    [
        # Another user: busy lamps, presence from phone to phone.
        ("<sip:alice@biloxi.test>", "dialog"),
        ("<sip:alice@biloxi.test>", "message-summary"),
        # Another phone of the same user (shared lines), and an unknown package.
        (AOR, "dialog"),
        (AOR, "Message-Summary"),
    ],
)
def test_phones_answer_for_themselves(rig: Rig, sender: str, package: str) -> None:
    """The packages of which a phone can be the notifier go to the phone (RFC 6665 3.1.1)."""
    data = request("SUBSCRIBE", sender=sender, headers=[("Event", package), ("Expires", "3600")])
    assert only(rig.udp(data, ALICE), "SUBSCRIBE").to == BOB


def test_own_name_in_another_spelling(rig: Rig) -> None:
    """The same user by the server's address, and escaped."""
    data = request(
        "SUBSCRIBE", "sip:%62ob@192.0.2.10", source=BOB, sender=AOR, headers=[("Event", "message-summary")]
    )
    assert what(rig.udp(data, BOB)) == ["404"]
