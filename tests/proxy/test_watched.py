"""Modules see, and do, on the quick ways what they see and do on the long one.

Each play runs on stacks of one seed: by all quick ways, by some, and by none. Their modules note what their
hooks see, and change what a case says. Any difference in what is sent, in what was seen, or when a stack
would wake, is a fault of a quick way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.module import DROP, PASS, Module, Reply, Slot, Use
from sansip.proxy import stateless
from sansip.proxy.hooks import BranchRefused
from sansip.proxy.target import Target
from sansip.proxy.usual import Usual
from sansip.proxy.watched import Watched
from sansip.routing import relaying
from sansip.routing.awaitables import sleep
from sansip.wire import parse_uri
from sansip.wire.unread import LAZY, is_unread
from tests.proxy.sides import BUSY, CALLEE, CANCEL, INVITE, OTHER, RINGS, TAKES, TRIES, Side, leave_only

WITHIN = [("within", "ACK", ""), ("within", "BYE", "")]
ENDS = [("last",), ("response", "200 OK", "", CALLEE, True)]
CALL = [INVITE, TRIES, RINGS, TAKES, *WITHIN, *ENDS]

Act = Callable[..., Any]


class Looks(Module):
    """Notes that each hook was called, and does there what the case says."""

    name = "looks"
    # Hook -> what it does with its arguments.
    acts: ClassVar[dict[str, Act]] = {}
    mark: Slot[int] = Slot()

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._log: list[Any] = []

    def figures(self) -> dict[str, Any]:
        """Return what the hooks saw."""
        return {"log": self._log}

    def _note(self, hook: str, *given: Any) -> Any:
        act = self.acts.get(hook)
        result = None if act is None else act(*given)
        self._log.append((hook, result if isinstance(result, (str, bytes, list, tuple, bool)) else ""))
        return result

    def message_arrived(self, message: Any, flow: Any, now: float) -> Any:
        result = self._note("message_arrived", message, flow)
        return result if result is DROP or isinstance(result, Reply) else PASS

    def request_received(self, request: Any) -> bool:
        return self._note("request_received", request) is True

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> Any:
        return _work(self._note("branch_leaving", request, branch, message))

    def response_received(self, request: Any, branch: Any, response: Any) -> Any:
        return _work(self._note("response_received", request, branch, response))

    def branch_ended(self, request: Any, branch: Any, status: int) -> None:
        self._note("branch_ended", request, branch, status)

    def response_leaving(self, request: Any, response: Any) -> Any:
        return _work(self._note("response_leaving", request, response))

    def request_ended(self, request: Any) -> None:
        self._note("request_ended", request)


def _work(result: Any) -> Any:
    """What a hook returns: nothing, or a coroutine to wait for."""
    return result if hasattr(result, "send") else None


@contextmanager
def acting(acts: dict[str, Act]) -> Iterator[None]:
    """Have hooks do ``acts``."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Looks, "acts", acts)
        yield


def _comparable(actions: list[Any]) -> list[Any]:
    """Exceptions are equal to none but themselves."""
    return [repr(one) if "ModuleFailed" in repr(one) else one for one in actions]


def played(side: Side, steps: list[tuple[Any, ...]]) -> list[Any]:
    """Play ``steps``; return what happened, and what was seen."""
    found = [_comparable(side.play(step)) for step in steps]
    found.append(_comparable(side.pass_time(400.0)))
    return [*found, side.stack.modules.get(Looks).figures()["log"]]


def compare(steps: list[tuple[Any, ...]], acts: dict[str, Act], *modules: Use, **more: Any) -> list[Any]:
    """Play ``steps`` by the long way and by quick ones; return what was seen."""
    used = [Use(Looks), *modules]
    with acting(acts):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(relaying, "relay_usual", lambda *_, **__: None)
            patched.setattr(stateless, "direct_way", lambda *_: None)
            ordinary = Side(None, modules=used, **more)
            leave_only(ordinary)
            expected = played(ordinary, steps)
        for ways in ((), ("quick",), ("passages", "openings"), ("quick", "passages", "openings")):
            side = Side(None, modules=used, **more)
            leave_only(side, *ways)
            assert played(side, steps) == expected
            assert side.stack.snapshot() == ordinary.stack.snapshot()
            pending = side.stack.proxy.pending
            assert {} == pending.sources == pending.callees
    return list(expected[-1])


PLAYS: dict[str, list[tuple[Any, ...]]] = {
    "a call": CALL,
    "answered twice": [INVITE, TAKES, TAKES, TAKES],
    # RFC 3261 16.7 step 5
    "a fork beyond": [INVITE, RINGS, TAKES, ("response", "200 OK", "c", CALLEE, True), TAKES],
    "a fork that lost the caller": [INVITE, TAKES, ("response", "200 OK", "c", CALLEE, False)],
    "repeated": [INVITE, INVITE, ("wait", 0.6), RINGS, INVITE, TAKES, INVITE],
    "busy": [INVITE, RINGS, BUSY, BUSY, ("wait", 3.0)],
    "moved": [INVITE, ("response", "302 Moved", "b", CALLEE, True)],
    "moved elsewhere": [
        *(INVITE, ("response", "302 Moved", "b", CALLEE, True, "Contact: <sip:bob@192.0.2.7:5060>")),
    ],
    "given up at once": [INVITE, CANCEL, RINGS, ("response", "487 Gone", "b", CALLEE, True)],
    "given up": [INVITE, RINGS, CANCEL, ("response", "487 Gone", "b", CALLEE, True)],
    "given up too late": [INVITE, RINGS, TAKES, CANCEL],
    "taken after it was given up": [INVITE, RINGS, CANCEL, TAKES],
    "rings for ever": [INVITE, RINGS, ("wait", 100.0), RINGS, ("wait", 300.0)],
    "silent": [INVITE, ("wait", 40.0)],
    "unreachable": [INVITE, ("failed",)],
    "without the caller's Via": [INVITE, ("response", "180 Ringing", "b", CALLEE, False), TAKES],
    "a 200 without the caller's Via": [INVITE, ("response", "200 OK", "b", CALLEE, False)],
    "a malformed Via of the caller": [
        *(INVITE, ("spoiled", "180 Ringing", "received=192", "received=1:")),
        *(("spoiled", "200 OK", "received=192", "received=1:"), *WITHIN),
    ],
    "a message": [("request", "MESSAGE", ""), TAKES, TAKES],
    "a slow message": [("request", "MESSAGE", ""), ("wait", 10.0), TRIES, ("wait", 10.0), TAKES],
    "a message that fails": [("request", "MESSAGE", ""), BUSY],
    "a BYE that fails": [INVITE, TAKES, *WITHIN, ("last",), ("response", "481 Gone", "", CALLEE, True)],
    "a malformed answer to a BYE": [INVITE, TAKES, *WITHIN, ("last",), TAKES],
    "a silent BYE": [INVITE, TAKES, *WITHIN, ("wait", 40.0)],
    "an INFO": [INVITE, TAKES, ("within", "INFO", ""), *ENDS],
    "re-INVITE": [INVITE, TAKES, ("within", "UPDATE", ""), *ENDS],
    "a mark that is cut": [
        INVITE,
        TAKES,
        ("raw", "BYE", "sip:bob@192.0.2.2:5060", "", "70", "<sip:a@a.test>;tag=a", "cut"),
    ],
    "no hop left": [("request", "INVITE", "Max-Breadth: 0\n")],
    "an unknown user": [("raw", "INVITE", "sip:no@biloxi.test", "", "70", "<sip:c@atlanta.test>;tag=c", "")],
    "OPTIONS": [("raw", "OPTIONS", "sip:biloxi.test", "", "70", "<sip:c@atlanta.test>;tag=c", "")],
}


# --- what hooks may read


def read_message(*given: Any) -> bytes:
    """All octets of the message, and typed values of it."""
    message = given[0] if hasattr(given[0], "to_bytes") else given[-1]
    return (
        bytes(message.to_bytes())
        + repr((message.call_id, message.cseq, message.to_tag, message.via)).encode()
    )


def read_request(request: Any, *_: Any) -> str:
    """What the handle says of its request."""
    return repr(
        (
            *(request.method, request.uri, request.user, request.host, request.in_dialog, request.over_flow),
            *(request.nat_signs, request.cancelled, request.is_from_us, request.proven, request.is_stranger),
            *(request.from_dialog, request.reading, request.decided, request.leaves and request.leaves.id),
            *(request.taken, request.returned, request.now, str(request.flow)),
            request.message.to_bytes(),
        )
    )


def read_mark(request: Any, *_: Any) -> str:
    """A value of the module's own, which it counts up."""
    mark = (Looks.mark.get(request) or 0) + 1
    Looks.mark.set(request, mark)
    return f"{request.method} {mark}"


def read_branch(_request: Any, branch: Any, *_: Any) -> str:
    """Where the branch leads, and what has become of it."""
    return repr((branch.target.uri, branch.state, branch.provisional, branch.final is None, branch.place))


def read_target(_request: Any, branch: Any, *_: Any) -> str:
    return repr(branch.target.uri)


def read_transaction(_request: Any, branch: Any, *_: Any) -> str:
    transaction = branch.transaction
    return repr(transaction and (transaction.method, str(transaction.flow), transaction.state))


def read_context(request: Any, *_: Any) -> str:
    context = request.context
    return repr(context is None or context.cancelled)


HOOKS = (
    *("message_arrived", "request_received", "branch_leaving", "response_received"),
    *("branch_ended", "response_leaving", "request_ended"),
)
OF_BRANCH = ("branch_leaving", "response_received", "branch_ended")
OF_MESSAGE = ("message_arrived", "branch_leaving", "response_received", "response_leaving")
OF_REQUEST = HOOKS[1:]
READS = [
    ({}, "nothing"),
    *(({hook: read_message}, f"message in {hook}") for hook in OF_MESSAGE),
    *(({hook: read_request}, f"request in {hook}") for hook in OF_REQUEST),
    *(({hook: read_branch}, f"branch in {hook}") for hook in OF_BRANCH),
    (dict.fromkeys(OF_MESSAGE, read_message), "each message"),
    (dict.fromkeys(OF_REQUEST, read_request), "request everywhere"),
    (dict.fromkeys(OF_REQUEST, read_mark), "a slot everywhere"),
    (dict.fromkeys(OF_BRANCH, read_branch), "branch everywhere"),
    (dict.fromkeys(OF_BRANCH, read_target), "target everywhere"),
    (dict.fromkeys(OF_BRANCH, read_transaction), "transaction everywhere"),
    ({"branch_leaving": read_context}, "context as it leaves"),
    ({"response_received": read_context}, "context as it is answered"),
]


@pytest.mark.parametrize("play", PLAYS)
@pytest.mark.parametrize("acts", [acts for acts, _ in READS], ids=[name for _, name in READS])
def test_a_hook_sees_the_same_on_each_way(acts: dict[str, Act], play: str) -> None:
    """A module is right on the quick ways without knowing of them."""
    compare(PLAYS[play], acts)


# --- what hooks may change


def adds(*given: Any) -> str:
    message = given[0] if hasattr(given[0], "to_bytes") else given[-1]
    message.append("X-Seen", "1")
    return "added"


def sets_body(*given: Any) -> str:
    message = given[0] if hasattr(given[0], "to_bytes") else given[-1]
    message.set_body(b"other", "text/plain")
    return "set"


def fails(*_: Any) -> None:
    raise RuntimeError("a fault of the module")


def refuses(request: Any, *_: Any) -> None:
    request.reply(488)
    raise BranchRefused


def replies(request: Any, *_: Any) -> bool:
    request.reply(480)
    return True


def replies_and_says_nothing(request: Any, *_: Any) -> None:
    if request.method != "ACK":
        request.reply(480)


def drops(request: Any, *_: Any) -> None:
    request.drop()


def retargets(request: Any, *_: Any) -> None:
    request.message.append("X-Asked", "1")


def follows(request: Any, *_: Any) -> None:
    request.follow(lambda uri: True)


def leads(request: Any, *_: Any) -> None:
    if request.method != "REGISTER":
        request.lead_to(Target(parse_uri("sip:bob@192.0.2.7:5060")))


def takes_silently(_request: Any) -> bool:
    return True


def drops_arrived(message: Any, _flow: Any) -> Any:
    return DROP


def drops_byes(message: Any, _flow: Any) -> Any:
    return DROP if message.cseq.method == "BYE" else None


def rejects_arrived(message: Any, _flow: Any) -> Any:
    return Reply(403) if message.cseq.method != "REGISTER" else None


def turns(status: int) -> Act:
    def act(*given: Any) -> str:
        given[-1].set_status(status)
        return str(status)

    return act


def gives_up(request: Any, branch: Any, *_: Any) -> str:
    branch.give_up(request.now)
    return branch.state


async def _slept(seconds: float) -> None:
    await sleep(seconds)


def waits(seconds: float) -> Act:
    return lambda *_: _slept(seconds)


def waits_and_adds(*given: Any) -> Any:
    async def work() -> None:
        await sleep(1.0)
        given[-1].append("X-Late", "1")

    return work()


def waits_in_vain(*_: Any) -> Any:
    async def work() -> None:
        await sleep(1.0)
        raise RuntimeError("a fault of the module")

    return work()


CHANGES: list[tuple[dict[str, Act], str]] = [
    *(({hook: adds}, f"a field in {hook}") for hook in OF_MESSAGE),
    *(({hook: sets_body}, f"the body in {hook}") for hook in OF_MESSAGE),
    *(({hook: fails}, f"a fault in {hook}") for hook in HOOKS),
    *(
        ({hook: waits(1.0)}, f"waits in {hook}")
        for hook in ("branch_leaving", "response_received", "response_leaving")
    ),
    *(
        ({hook: waits(0.0)}, f"waits for nothing in {hook}")
        for hook in ("branch_leaving", "response_received")
    ),
    *(
        ({hook: waits_and_adds}, f"waits and adds in {hook}")
        for hook in ("branch_leaving", "response_leaving")
    ),
    *(
        ({hook: waits_in_vain}, f"waits in vain in {hook}")
        for hook in ("branch_leaving", "response_received")
    ),
    (
        {hook: waits(0.7) for hook in ("branch_leaving", "response_received", "response_leaving")},
        "waits everywhere",
    ),
    (dict.fromkeys(OF_MESSAGE, adds), "a field everywhere"),
    ({"branch_leaving": refuses}, "refuses the copy"),
    ({"request_received": replies}, "answers"),
    ({"request_received": replies_and_says_nothing}, "answers and does not say so"),
    ({"request_received": drops}, "drops"),
    ({"request_received": takes_silently}, "takes it and is silent"),
    ({"request_received": retargets}, "changes the request"),
    ({"request_received": follows}, "follows redirections"),
    ({"request_received": leads}, "leads elsewhere"),
    ({"message_arrived": drops_arrived}, "drops what arrives"),
    ({"message_arrived": drops_byes}, "drops each BYE"),
    ({"message_arrived": rejects_arrived}, "rejects what arrives"),
    *(({"response_received": turns(status)}, f"makes a {status} of it") for status in (183, 202, 486)),
    *(({"response_leaving": turns(status)}, f"lets a {status} leave") for status in (183, 202, 486)),
    ({"response_received": gives_up}, "gives the branch up"),
]


@pytest.mark.parametrize("play", PLAYS)
@pytest.mark.parametrize("acts", [acts for acts, _ in CHANGES], ids=[name for _, name in CHANGES])
def test_a_hook_does_the_same_on_each_way(acts: dict[str, Act], play: str) -> None:
    """What it edits is what leaves; what it refuses does not; what it fails at fails as the hook says."""
    compare(PLAYS[play], acts)


STEPS = st.one_of(
    st.sampled_from([INVITE, CANCEL, RINGS, TAKES, BUSY, TRIES, ("failed",), ("last",), *WITHIN]),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6, 1.0, 4.0, 33.0, 100.0, 190.0])),
    st.tuples(
        st.just("response"),
        st.sampled_from(["100 Trying", "183 Progress", "200 OK", "302 Moved", "408 Timeout", "503 Busy"]),
        st.sampled_from(["b", "c", ""]),
        st.sampled_from([CALLEE, OTHER]),
        st.booleans(),
    ),
)
ACTS = st.dictionaries(
    st.sampled_from(("branch_leaving", "response_received", "response_leaving")),
    st.sampled_from([read_message, read_request, adds, waits(0.5), fails]),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([INVITE, ("request", "MESSAGE", "")]), st.lists(STEPS, max_size=8), ACTS)
def test_any_play_ends_alike(first: Any, steps: list[tuple[Any, ...]], acts: dict[str, Act]) -> None:
    """No order of messages, failures and waits tells the ways apart."""
    compare([first, *steps], acts)


class After(Module):
    """Sees requests after the other module, and their answers before it."""

    name = "more"

    def response_received(self, request: Any, branch: Any, response: Any) -> None:
        response.append("X-After", str(branch.target.uri))

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> None:
        message.append("X-After", message.call_id)


@pytest.mark.parametrize("play", PLAYS)
def test_two_modules_see_each_other_s_changes(play: str) -> None:
    """They run in their order, on one message."""
    compare(PLAYS[play], {"branch_leaving": adds, "response_leaving": read_message}, Use(After))


# --- that it is quick


@pytest.mark.skipif(not LAZY, reason="the compiled build makes each message (sansip.wire.unread)")
def test_hooks_that_do_not_look_make_no_message() -> None:
    """The purpose of all this: a call with modules costs what a call costs."""
    seen: list[bool] = []

    def looked(*given: Any) -> None:
        seen.extend(is_unread(one) for one in given if hasattr(type(one), "to_bytes"))

    with acting(dict.fromkeys(("message_arrived", *OF_MESSAGE), looked)):
        side = Side(None, modules=[Use(Looks)])
        del seen[:]
        for step in CALL:
            side.play(step)
    # Of the REGISTER a message is made; the 100 is no usual response.
    assert seen.count(False) <= 2
    assert len(seen) > 10


@pytest.mark.skipif(not LAZY, reason="the compiled build makes each message (sansip.wire.unread)")
def test_hooks_leave_a_call_with_its_one_object() -> None:
    """No response context is made while hooks look at messages and change them."""
    with acting(dict.fromkeys(OF_MESSAGE, adds) | {"branch_ended": read_target}):
        side = Side(None, modules=[Use(Looks)])
        for step in (INVITE, RINGS, TAKES):
            side.play(step)
            (client,) = side.stack.transactions.clients.values()
            assert isinstance(client.user, Usual)
            assert isinstance(client.user, Watched)
            assert client.user.became is None


def test_nothing_of_a_call_is_kept_beyond_its_transactions() -> None:
    """A handle, its relay and its branch must not keep each other: there are thousands of them."""
    import gc
    import weakref

    with acting({}):
        side = Side(None, modules=[Use(Looks)])
        for step in CALL:
            side.play(step)
        gc.collect()
        gc.disable()
        try:
            found = [weakref.ref(one) for one in gc.get_objects() if isinstance(one, Looks)]
            assert found
            watched = sum(isinstance(one, Watched) for one in gc.get_objects())
            assert watched or not LAZY
            side.pass_time(400.0)
            assert not [one for one in gc.get_objects() if isinstance(one, Watched)]
        finally:
            gc.enable()
