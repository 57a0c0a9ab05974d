"""RFC 3261 17.1.3 and 17.2.3: which transaction a message belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.transaction import server_key
from sansip.wire import parse_message
from tests.rig import request, within
from tests.transaction.bench import UDP, Bench, response


def key(data: bytes) -> str:
    return server_key(parse_message(data))


# --- 17.2.3: requests


def test_the_same_branch_and_sent_by() -> None:
    """Rules 1 and 2: whatever else differs, a retransmission is one."""
    assert key(request(cseq=1)) == key(request(cseq=2, call_id="other", from_tag="other"))


def test_another_branch() -> None:
    """Rule 1."""
    assert key(request(branch="z9hG4bKa1")) != key(request(branch="z9hG4bKa2"))


def test_another_sent_by() -> None:
    """Rule 2: branches of different clients may be the same by accident or malice."""
    assert key(request(source=("192.0.2.1", 5060))) != key(request(source=("192.0.2.2", 5060)))
    assert key(request(source=("192.0.2.1", 5060))) != key(request(source=("192.0.2.1", 5070)))


def test_ack_and_cancel_have_the_key_of_their_invite() -> None:
    """Rule 3: the method is not part of what identifies them."""
    invite = request()
    assert key(invite) == key(within(invite, "ACK", to_tag="bob")) == key(within(invite, "CANCEL"))


def test_the_method_tells_transactions_of_one_branch_apart(bench: Bench) -> None:
    """Rule 3: a CANCEL is a transaction of its own; an ACK belongs to the INVITE."""
    invite = bench.layer.open_server("key", "INVITE", UDP, bench)
    cancel = bench.layer.open_server("key", "CANCEL", UDP, bench)
    find = bench.layer.find_server
    assert find("key", "INVITE") is invite
    assert find("key", "ACK") is invite
    assert find("key", "CANCEL") is cancel
    assert find("key", "OPTIONS") is None
    assert find("other", "INVITE") is None
    invite.abandon(0.0)
    cancel.abandon(0.0)


def test_an_ack_is_no_repeated_non_invite(bench: Bench) -> None:
    """Rule 3: only an INVITE is acknowledged."""
    options = bench.layer.open_server("key", "OPTIONS", UDP, bench)
    assert bench.layer.find_server("key", "ACK") is None
    options.abandon(0.0)


def test_a_reused_branch(bench: Bench) -> None:
    """A client that uses one branch for requests of several methods gets a transaction for each."""
    made = [bench.layer.open_server("key", method, UDP, bench) for method in ("OPTIONS", "MESSAGE", "INVITE")]
    for one in made:
        assert bench.layer.find_server("key", one.method) is one
    for one in made:
        one.abandon(0.0)
    assert len(bench.layer) == 0


OLD: dict[str, Any] = {"branch": None}


@pytest.mark.parametrize("branch", [None, "1", "z9hG4bK"], ids=["none", "without cookie", "cookie alone"])
def test_rfc_2543_retransmissions(branch: str | None) -> None:
    """Without the cookie: Request-URI, From tag, Call-ID, CSeq and top Via are compared."""
    assert key(request(branch=branch)) == key(request(branch=branch))
    for change in (
        {"uri": "sip:carol@biloxi.test"},
        {"from_tag": "other"},
        {"call_id": "other"},
        {"cseq": 2},
        {"source": ("192.0.2.9", 5060)},
    ):
        assert key(request(branch=branch)) != key(request(**{"branch": branch, **change}))


def test_rfc_2543_ack_and_cancel() -> None:
    """An ACK has the To tag of the response, which its INVITE lacked, and another method in CSeq."""
    invite = request(branch=None)
    assert key(invite) == key(within(invite, "ACK", to_tag="bob")) == key(within(invite, "CANCEL"))


# --- 17.1.3: responses


def test_branch_and_cseq_method(bench: Bench) -> None:
    """A CANCEL shares the branch of its INVITE, so the method of CSeq is needed."""
    invite = bench.client("INVITE", UDP)
    cancel = bench.client("CANCEL", UDP)
    assert bench.layer.find_client(response(200, "INVITE")) is invite
    assert bench.layer.find_client(response(200, "CANCEL")) is cancel
    assert bench.layer.find_client(response(200, "OPTIONS")) is None


def test_no_branch(bench: Bench) -> None:
    """A response without a branch answers nothing that we sent."""
    text = response(200, "INVITE").to_bytes().replace(b";branch=z9hG4bKours", b"")
    assert bench.layer.find_client(parse_message(text)) is None


def test_ended_transactions_are_forgotten(bench: Bench) -> None:
    """17.1.1.2: destroyed the instant it terminates."""
    transaction = bench.client("OPTIONS", UDP)
    transaction.terminate(None, 0.0)
    assert bench.layer.find_client(response(200, "OPTIONS")) is None
    assert (0.0, "forgotten") in bench.heard
