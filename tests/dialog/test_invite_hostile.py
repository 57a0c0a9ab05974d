"""A peer that sends whatever it likes, in whatever order: a session never raises and never grows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.dialog import End, Ended, Respond, Send, SendAck, SessionTimerSettings, Tell
from sansip.errors import LocalProtocolError
from sansip.limits import DEFAULT
from sansip.wire import Request, Response
from tests.dialog.messages import answer, from_bob, invite
from tests.dialog.pair import SDP, TYPE, Pair

METHODS = ["INVITE", "ACK", "BYE", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY", "OPTIONS", "MESSAGE", "FOO"]
STATUSES = [
    100,
    180,
    183,
    183,
    199,
    200,
    200,
    202,
    300,
    401,
    408,
    422,
    481,
    481,
    487,
    488,
    491,
    491,
    500,
    503,
    603,
]
FIELDS = [
    *(
        ("Contact", one)
        for one in ("<sip:b@192.0.2.9>", "*", "<tel:+1>", "<", "<sip:a@h>, <sip:b@h>", "sip:b@h")
    ),
    *(("Require", one) for one in ("100rel", "100rel, timer", ";;", "", "x")),
    *(("Supported", one) for one in ("100rel, timer", "timer", ";;")),
    *(("RSeq", one) for one in ("1", "2", "0", "x", "4294967295", "99999999999")),
    *(("RAck", one) for one in ("1 1 INVITE", "1 314159 INVITE", "x", "1 2", "0 0 FOO")),
    *(
        ("Session-Expires", one)
        for one in ("1", "90", "1800;refresher=uac", "1800;refresher=uas", "x", "9" * 30)
    ),
    *(("Min-SE", one) for one in ("90", "4294967295", "x")),
    *(("Allow", one) for one in ("UPDATE", "INVITE, ACK", ";;")),
    *(("Expires", one) for one in ("0", "3", "x")),
    *(("Record-Route", one) for one in ("<sip:p;lr>", "<tel:+1>", "<", "<sip:p>")),
    *(("Content-Disposition", one) for one in ("session", "render", ";;")),
    *(("Content-Type", one) for one in ("application/sdp", "text/plain", "multipart/mixed", "x")),
    ("Event", ";;"),
    ("Subscription-State", ";;"),
]
MESSAGE = st.tuples(
    st.sampled_from(METHODS),
    st.integers(0, 4),
    st.lists(st.sampled_from(FIELDS), max_size=4),
    st.sampled_from([b"", SDP, b"application/sdp"]),
)
ANSWER = st.tuples(
    st.integers(0, 3),
    st.sampled_from(STATUSES),
    st.lists(st.sampled_from(FIELDS), max_size=4),
    st.sampled_from([b"", SDP]),
)
ACT = st.sampled_from(
    [
        "ring",
        "reliable",
        "accept",
        "reject",
        "invite",
        "update",
        "info",
        "bye",
        "acknowledge",
        "answer",
        "cancelled",
    ]
)
STEP = st.one_of(MESSAGE, ANSWER, ACT, st.sampled_from([0.1, 1.0, 5.0, 40.0, 1000.0]))


def do(usage, what: str, now: float, owners: list) -> list:
    """Have our user do something, right or wrong."""
    match what:
        case "ring" | "reliable":
            return usage.ring(183, SDP, TYPE, what == "reliable", now)
        case "accept":
            return usage.accept(SDP, TYPE, now)
        case "reject":
            return usage.reject(486, None, [], now)
        case "invite":
            return usage.invite(SDP, TYPE, now)
        case "update":
            return usage.update(SDP, TYPE, now)
        case "info":
            return usage.request("INFO", [], b"", now)
        case "bye":
            return usage.bye([], now)
        case "acknowledge":
            return usage.acknowledge(SDP, TYPE, now)
        case "answer":
            return usage.answer(owners[-1], 200, SDP, TYPE, now) if owners else []
    return usage.cancelled(now)


@settings(max_examples=150, deadline=None)
@given(caller=st.booleans(), offer=st.booleans(), steps=st.lists(STEP, max_size=25))
def test_nothing_raises_and_everything_ends(caller: bool, offer: bool, steps: list) -> None:
    """sansip's first promise to an operator: no message of a stranger brings it down, or fills it."""
    timer = SessionTimerSettings()
    pair = Pair(offer=SDP if offer else b"", alice=timer, bob=timer)
    pair.held = True
    now = 0.0
    sent: list[Request] = [pair.invite]
    owners: list = [pair.invite]
    if caller:
        pair.ring()
        _, response = pair.queue[0]
        assert isinstance(response, Response)
        pair.deliver()
    usage = pair.alice.usage if caller else pair.bob.usage
    assert usage is not None
    told: list = []
    gone = False

    def take(effects: list) -> None:
        nonlocal gone
        # A message in never makes more than a handful out.
        assert len(effects) <= 12 + DEFAULT.requests_unanswered
        for effect in effects:
            assert not gone, effect
            assert isinstance(effect, (Respond, Send, SendAck, Tell, End))
            if isinstance(effect, Send):
                sent.append(effect.request)
            elif isinstance(effect, (Respond, SendAck)):
                (effect.response if isinstance(effect, Respond) else effect.request).to_bytes()
            elif isinstance(effect, Tell):
                told.append(effect.event)
                if hasattr(effect.event, "owner"):
                    owners.append(effect.event.owner)
            else:
                gone = True

    for step in steps:
        if gone:
            break
        if isinstance(step, float):
            now += step
            take(usage.time_passed(now))
        elif isinstance(step, str):
            try:
                take(do(usage, step, now, owners))
            except LocalProtocolError:
                pass
        elif isinstance(step[0], str):
            method, number, headers, body = step
            given = (from_bob(method, number, headers, body), object())
            if not caller:
                number = 314159 if method == "ACK" else 314160 + number
                made = invite(headers=headers, method=method, number=number, contact=None, body=body)
                given = (made, object())
            take(usage.received(given[0], None if method == "ACK" else given[1], now))
        else:
            which, status, headers, body = step
            request = sent[-1 - which % len(sent)]
            if caller or request is not pair.invite:
                response = answer(request, status, headers, contact=None, body=body)
                take(usage.response_received(request, response, now))
        assert len(usage._pending) <= DEFAULT.requests_unanswered
        assert len(usage._due) < 12
    # However it stands, once we hang up it ends, whatever the peer answers, or not.
    try:
        take(do(usage, "reject" if usage.state == "called" else "bye", now, owners))
    except LocalProtocolError:
        # The peer demands a PRACK that it never sends.
        pass
    for _ in range(200):
        for request in [one for one in sent if one.method == "BYE"]:
            if not gone:
                take(usage.response_received(request, answer(request, 408), now))
        if gone or (due := usage.next_due()) is None:
            break
        now = max(now, due)
        take(usage.time_passed(now))
    assert gone, usage.state
    assert len([event for event in told if isinstance(event, Ended)]) <= 1
