"""Within a dialog a request goes to the other side and nowhere else (RFC 3261 12.2, 16.12)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.auth.algorithms import compute_response, ha1
from sansip.proxy import ProxyConfig
from tests.rig import BOB, BOB_URI, CAROL, HOST, UDP, Out, Rig, only, reply, request, sent, what

SECRET = b"a secret of the whole site"
STRANGER = ("203.0.113.66", 5060)
MALLORY = "<sip:mallory@elsewhere.example>"
CONTACT = "sip:mallory@203.0.113.66"
VICTIM = "sip:victim@198.51.100.7"


def asking(**options: Any) -> Rig:
    """A server that asks its users; each has the password "wonderland"."""
    return Rig(
        auth=AuthConfig(), secret=SECRET,
        users=lambda one: {"MD5": ha1(one.username, "biloxi.test", "wonderland")}, **options,
    )  # fmt: skip


def prove(rig: Rig, challenge: Out, method: str, uri: str, user: str) -> tuple[str, str]:
    """The credentials of ``user`` for ``challenge``."""
    field = "www-authenticate" if method == "REGISTER" else "proxy-authenticate"
    nonce = challenge.message.typed(field)[0].nonce
    key = ha1(user, "biloxi.test", "wonderland")
    value = compute_response(key, method, uri, nonce, algorithm="MD5", qop="auth", nc="00000001", cnonce="c")
    name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    return name, (
        f'Digest username="{user}", realm="biloxi.test", nonce="{nonce}", uri="{uri}", response="{value}",'
        ' algorithm=MD5, qop=auth, nc=00000001, cnonce="c"'
    )


def proven(rig: Rig, source: Any, method: str, uri: str, user: str, **options: Any) -> list[Out]:
    """Send a request, answer the challenge, and return what left then."""
    headers = list(options.pop("headers", ()))
    branch = options.pop("branch", f"z9hG4bK{len(rig.log)}")
    outs = rig.udp(request(method, uri, source=source, branch=branch, headers=headers, **options), source)
    assert what(outs) == ["401" if method == "REGISTER" else "407"]
    headers.append(prove(rig, outs[0], method, uri, user))
    again = request(method, uri, source=source, branch=f"{branch}a", headers=headers, **options)
    return rig.udp(again, source)


class Stranger:
    """Mallory has called our user bob, and bob has answered with ``status``."""

    def __init__(self, rig: Rig | None = None, status: int = 200, contact: str = BOB_URI) -> None:
        self.rig = rig or Rig(secret=SECRET)
        if self.rig.stack.authenticator is None:
            self.rig.register(BOB_URI)
        else:
            aor = "<sip:bob@biloxi.test>"
            headers = [("Contact", f"<{BOB_URI}>")]
            outs = proven(self.rig, BOB, "REGISTER", "sip:biloxi.test", "bob", sender=aor, to=aor,
                          call_id="r", headers=headers)  # fmt: skip
            assert what(outs) == ["200"]
        call = request(
            source=STRANGER,
            branch="z9hG4bKcall",
            sender=MALLORY,
            from_tag="m",
            headers=[("Contact", f"<{CONTACT}>")],
        )
        self.invite = only(self.rig.udp(call, STRANGER), "INVITE")
        contacts = [("Contact", f"<{contact}>")] if status < 300 else []
        self.answer = only(self.rig.udp(reply(self.invite, status, headers=contacts), BOB), str(status))
        self.route = self.rig.route()
        self.callees = ", ".join(self.invite.message.values("record-route"))

    def send(self, method: str = "INFO", uri: str = BOB_URI, **changes: Any) -> list[Out]:
        """The messages that leave for a request within the dialog, of the stranger's by default."""
        values: dict[str, Any] = {
            "source": STRANGER,
            "branch": f"z9hG4bK{len(self.rig.log)}",
            "sender": MALLORY,
            "from_tag": "m",
            "to_tag": "bob",
            "cseq": 2,
            "headers": [("Route", self.route)],
        }
        values.update(changes)
        source = values["source"]
        return self.rig.udp(request(method, uri, **values), source)

    def from_bob(self, method: str = "INFO", uri: str = CONTACT, **changes: Any) -> list[Out]:
        """The same of bob's."""
        values: dict[str, Any] = {
            "source": BOB, "sender": "<sip:bob@biloxi.test>", "from_tag": "bob", "to": MALLORY, "to_tag": "m",
            "headers": [("Route", self.callees)],
        }  # fmt: skip
        values.update(changes)
        return self.send(method, uri, **values)


def refused(outs: list[Out]) -> bool:
    """Only a refusal left, and it went to the sender."""
    return what(outs) in (["481"], ["403"])


# --- the dialog itself works


@pytest.mark.parametrize("method", ["ACK", "BYE", "INFO", "UPDATE", "INVITE", "MESSAGE", "REFER", "OPTIONS"])
def test_both_sides_reach_each_other(method: str) -> None:
    """RFC 3261 12.2.1.1: the Contact of the other side, by whatever method."""
    call = Stranger()
    assert sent(call.send(method))[-1] == (method, BOB)
    assert sent(call.from_bob(method))[-1] == (method, STRANGER)


def test_an_early_dialog() -> None:
    """RFC 3262, RFC 3311: PRACK and UPDATE before the 2xx, by the route set of the 180."""
    call = Stranger(status=180)
    for method in ("PRACK", "UPDATE", "BYE"):
        assert sent(call.send(method))[-1] == (method, BOB)


def test_the_contact_of_the_2xx() -> None:
    """RFC 3261 13.2.2.4: it replaces that of the 180; a caller with the 180's route set gets through, too."""
    call = Stranger(status=180, contact="sip:bob@192.0.2.2:5070")
    early = call.route
    call.rig.udp(reply(call.invite, 200, headers=[("Contact", f"<{BOB_URI}>")]), BOB)
    assert call.rig.route() != early
    for route in (early, call.rig.route()):
        assert sent(call.send("ACK", headers=[("Route", route)])) == [("ACK", BOB)]


def test_each_branch_of_a_fork_has_its_mark() -> None:
    """RFC 3261 12.1.2, 13.2.2.4: several dialogs of one Call-ID, each with a tag and a target of its own."""
    rig = Rig()
    rig.register(BOB_URI)
    rig.register("sip:bob@192.0.2.3", CAROL)
    headers = [("Contact", f"<{CONTACT}>")]
    outs = rig.udp(request(source=STRANGER, sender=MALLORY, from_tag="m", headers=headers), STRANGER)
    routes = {}
    for out in outs[1:]:
        tag = f"t{out.to[0][-1]}"
        rig.udp(reply(out, 180, tag=tag), out.to)
        routes[tag] = rig.route()
    for tag, uri, there in (("t2", BOB_URI, BOB), ("t3", "sip:bob@192.0.2.3", CAROL)):
        for route in routes.values():
            data = request("UPDATE", uri, source=STRANGER, branch=f"z9hG4bK{len(rig.log)}", sender=MALLORY,
                           from_tag="m", to_tag=tag, cseq=2, headers=[("Route", route)])  # fmt: skip
            outs = rig.udp(data, STRANGER)
            if route == routes[tag]:
                assert sent(outs) == [("UPDATE", there)]
            else:
                assert what(outs) == ["481"]


def test_a_second_2xx() -> None:
    """RFC 6026 7.2: of a fork behind the callee; its dialog has a mark, too."""
    call = Stranger()
    late = only(call.rig.udp(reply(call.invite, 200, tag="other"), BOB), "200")
    route = ", ".join(reversed(late.message.values("record-route")))
    assert route != call.route
    assert sent(call.send("ACK", to_tag="other", headers=[("Route", route)])) == [("ACK", BOB)]


def test_a_repeated_answer_is_the_same() -> None:
    """RFC 3261 13.3.1.4, RFC 3262 3: octet for octet."""
    call = Stranger(status=180)
    data = reply(call.invite, 200)
    first = only(call.rig.udp(data, BOB), "200")
    assert only(call.rig.udp(data, BOB), "200").data == first.data


def test_after_a_restart_and_on_another_node() -> None:
    """The mark is all there is: a stack with the same secret knows as much."""
    call = Stranger()
    call.rig = Rig(secret=SECRET, seed=b"another life of it!!")
    assert sent(call.send("BYE")) == [("BYE", BOB)]
    assert sent(call.from_bob("BYE")) == [("BYE", STRANGER)]
    assert refused(call.send(uri=VICTIM))
    call.rig = Rig(secret=b"a secret of some other site", seed=b"another life of it!!")
    assert what(call.send("BYE")) == ["481"]


def test_a_mark_has_a_life() -> None:
    """ProxyConfig.dialog_life: what somebody noted down is worth nothing some day."""
    life = ProxyConfig(dialog_life=7200.0)
    call = Stranger(Rig(secret=SECRET, proxy=life))
    call.rig.wait(7200)
    assert sent(call.send()) == [("INFO", BOB)]
    call.rig.wait(7200)
    assert what(call.send()) == ["481"]
    # Another node's clock may be behind.
    call.rig = Rig(secret=SECRET, proxy=life, now=100.0, wall_offset=-5000.0)
    assert sent(call.send()) == [("INFO", BOB)]


# --- target refresh


def test_a_refresh_by_request() -> None:
    """RFC 3261 12.2.2: a re-INVITE or UPDATE of bob's from a new address; the route set stays."""
    call = Stranger()
    moved = "sip:bob@192.0.2.77:5070"
    again = only(
        call.from_bob("INVITE", headers=[("Route", call.callees), ("Contact", f"<{moved}>")]), "INVITE"
    )
    # RFC 3261 12.2.1.2: not before it is accepted.
    assert what(call.send(uri=moved)) == ["403"]
    call.rig.udp(reply(again, 200, tag="m", headers=[("Contact", f"<{CONTACT}>")]), STRANGER)
    assert sent(call.send(uri=moved)) == [("INFO", ("192.0.2.77", 5070))]
    # Requests under way still have the old one.
    assert sent(call.send()) == [("INFO", BOB)]
    assert what(call.send(uri=VICTIM)) == ["403"]


def test_a_refresh_by_answer() -> None:
    """RFC 3261 12.2.1.2, RFC 3311 5.1: the 2xx to the stranger's own re-INVITE or UPDATE moves bob."""
    for method in ("INVITE", "UPDATE"):
        call = Stranger()
        out = only(call.send(method, headers=[("Route", call.route), ("Contact", f"<{CONTACT}>")]), method)
        moved = "sip:bob@192.0.2.78"
        call.rig.udp(reply(out, 200, headers=[("Contact", f"<{moved}>")]), BOB)
        assert sent(call.send("ACK", moved)) == [("ACK", ("192.0.2.78", 5060))]
        # No other dialog learned of it.
        assert refused(call.send(uri=moved, to_tag="someone"))


def test_refused_refreshes_move_nobody() -> None:
    """RFC 3261 14.1: a re-INVITE that fails leaves the dialog as it was."""
    call = Stranger()
    again = only(
        call.from_bob("INVITE", headers=[("Route", call.callees), ("Contact", "<sip:bob@192.0.2.77>")]),
        "INVITE",
    )
    call.rig.udp(reply(again, 488, tag="m"), STRANGER)
    assert what(call.send(uri="sip:bob@192.0.2.77")) == ["403"]


def test_refreshed_targets_are_bounded() -> None:
    """limits.refreshed_dialogs: the oldest is forgotten, and has the target it began with."""
    call = Stranger(Rig(secret=SECRET, limits={"refreshed_dialogs": 1}))
    moved = "sip:bob@192.0.2.77"
    for tag in ("m", "other"):
        refresh = [("Route", call.callees), ("Contact", f"<{moved}>")]
        outs = call.from_bob("UPDATE", headers=refresh, to_tag="m", from_tag="bob" if tag == "m" else tag)
        call.rig.udp(reply(only(outs, "UPDATE"), 200), STRANGER)
    assert len(call.rig.stack.proxy.marks) == 1
    assert what(call.send(uri=moved)) == ["403"]
    assert sent(call.send()) == [("INFO", BOB)]


def test_a_refreshed_target_after_a_restart() -> None:
    """It is not known any more: bob's binding leads to him."""
    call = Stranger()
    call.rig = Rig(secret=SECRET, seed=b"another life of it!!")
    assert what(call.send(uri="sip:bob@192.0.2.77")) == ["403"]
    call.rig.register("sip:bob@192.0.2.77", ("192.0.2.77", 5060))
    assert sent(call.send(uri="sip:bob@192.0.2.77")) == [("INFO", ("192.0.2.77", 5060))]
    assert what(call.send(uri=VICTIM)) == ["403"]


# --- peers of RFC 2543


def test_peers_without_tags() -> None:
    """RFC 3261 12.1.1, 12.1.2: a missing tag is an empty one; ACK and BYE go on, an INVITE begins a call."""
    rig = Rig()
    rig.register(BOB_URI)
    headers = [("Contact", f"<{CONTACT}>")]
    invite = only(
        rig.udp(request(source=STRANGER, sender=MALLORY, from_tag=None, headers=headers), STRANGER), "INVITE"
    )
    rig.udp(reply(invite, 200, tag=None), BOB)
    route = [("Route", rig.route())]
    options: dict[str, Any] = {"source": STRANGER, "sender": MALLORY, "from_tag": None, "cseq": 2}
    for method in ("ACK", "BYE"):
        data = request(method, BOB_URI, branch=f"z9hG4bK{method}", headers=route, **options)
        assert sent(rig.udp(data, STRANGER)) == [(method, BOB)]
        data = request(method, VICTIM, branch=f"z9hG4bK{method}2", headers=route, **options)
        assert method not in what(rig.udp(data, STRANGER))
    anew = request("INVITE", BOB_URI, branch="z9hG4bKanew", headers=route, **options)
    assert what(rig.udp(anew, STRANGER)) == ["403"]
    options = {"source": BOB, "sender": "<sip:bob@biloxi.test>", "from_tag": None, "to": MALLORY}
    route = [("Route", invite.message.get("record-route") or "")]
    bye = request("BYE", CONTACT, branch="z9hG4bKback", headers=route, **options)
    assert sent(rig.udp(bye, BOB)) == [("BYE", STRANGER)]


# --- other proxies around us


def test_a_proxy_behind_us() -> None:
    """Its value stands above ours, and the caller's request goes to it; the Request-URI stays sealed."""
    call = Stranger(status=180)
    edge = "<sip:192.0.2.50;lr>"
    data = reply(call.invite, 200).replace(
        b"Record-Route:", f"Record-Route: {edge}\r\nRecord-Route:".encode(), 1
    )
    call.rig.udp(data, BOB)
    route = call.rig.route()
    assert route.endswith(edge)
    out = only(call.send("INVITE", headers=[("Route", route)]), "INVITE")
    assert (out.to, out.message.values("route")) == (("192.0.2.50", 5060), [edge])
    assert refused(call.send(uri=VICTIM, headers=[("Route", route)]))
    # Without it the request would go past that proxy.
    assert what(call.send(headers=[("Route", route.partition(",")[0])])) == ["481"]


def test_a_proxy_before_us() -> None:
    """Its value stands below ours, and the callee's request goes to it."""
    rig = Rig()
    rig.register(BOB_URI)
    edge = "<sip:203.0.113.50;lr>"
    headers = [("Contact", f"<{CONTACT}>"), ("Record-Route", edge)]
    outs = rig.udp(request(source=STRANGER, sender=MALLORY, from_tag="m", headers=headers), STRANGER)
    routes = ", ".join(only(outs, "INVITE").message.values("record-route"))
    options: dict[str, Any] = {
        "sender": "<sip:bob@biloxi.test>",
        "from_tag": "bob",
        "to": MALLORY,
        "to_tag": "m",
    }
    bye = request("BYE", CONTACT, source=BOB, branch="z9hG4bKb", headers=[("Route", routes)], **options)
    assert sent(rig.udp(bye, BOB)) == [("BYE", ("203.0.113.50", 5060))]
    past = bye.replace(f", {edge}".encode(), b"").replace(b"z9hG4bKb", b"z9hG4bKc")
    assert what(rig.udp(past, BOB)) == ["481"]


def test_an_element_that_changes_the_case() -> None:
    """RFC 3261 19.1.4: parameters have none."""
    call = Stranger()
    where, _, mark = call.route.partition(";d=")
    assert sent(call.send(headers=[("Route", f"{where};D={mark.upper()}")])) == [("INFO", BOB)]


@pytest.mark.parametrize("mark", ["", "0" * 30, "g" * 30, "0" * 29 + "é", "0123", "-" * 30])
def test_what_is_no_mark(mark: str) -> None:
    """It proves nothing, and breaks nothing."""
    assert what(Stranger().send(headers=[("Route", f"<sip:{HOST};lr;d={mark}>")])) in (["481"], ["400"])


# --- without state


def test_a_request_that_was_forwarded_statelessly() -> None:
    """RFC 3261 16.11: the route rewrites the answer by its own values, where they are true."""

    def route(handle: Any) -> None:
        if handle.in_dialog:
            if handle.from_dialog:
                handle.relay()
            else:
                handle.reply(481)
        else:
            handle.record_route()
            handle.relay(BOB_URI, stateless=True)

    rig = Rig(route)
    headers = [("Contact", f"<{CONTACT}>")]
    data = request(source=STRANGER, sender=MALLORY, from_tag="m", headers=headers)
    invite = only(rig.udp(data, STRANGER), "INVITE")
    answer = reply(invite, 200)
    assert sent(rig.udp(answer, BOB)) == [("200", STRANGER)]
    send = {"source": STRANGER, "sender": MALLORY, "from_tag": "m", "to_tag": "bob", "cseq": 2}
    for uri, expected in ((BOB_URI, ("INFO", BOB)), (VICTIM, ("481", STRANGER))):
        info = request("INFO", uri, branch=f"z9hG4bK{expected[0]}", headers=[("Route", rig.route())], **send)
        assert sent(rig.udp(info, STRANGER))[-1] == expected
    # A callee who makes the answer one of another call gets no mark for it.
    forged = answer.replace(b"Call-ID: call@192.0.2.1", b"Call-ID: another")
    mark = (invite.message.get("record-route") or "").encode()
    assert all(mark in out.data for out in rig.udp(forged, BOB))
    failed = only(rig.udp(reply(invite, 486, headers=[("Record-Route", mark.decode())]), BOB), "486").message
    assert not failed.has("record-route")


def test_a_route_of_ones_own_that_records_nothing_within() -> None:
    """The targets that pass are noted all the same, for the marks are those of the call's beginning."""

    def route(handle: Any) -> None:
        if not handle.in_dialog:
            handle.record_route()
            handle.relay(BOB_URI)
        elif handle.from_dialog:
            handle.relay()
        else:
            handle.reply(481)

    rig = Rig(route)
    data = request(source=STRANGER, sender=MALLORY, from_tag="m", headers=[("Contact", f"<{CONTACT}>")])
    invite = only(rig.udp(data, STRANGER), "INVITE")
    rig.udp(reply(invite, 200), BOB)
    within = {"source": STRANGER, "sender": MALLORY, "from_tag": "m", "to_tag": "bob", "cseq": 2}
    update = request("UPDATE", BOB_URI, branch="z9hG4bKu", headers=[("Route", rig.route())], **within)
    out = only(rig.udp(update, STRANGER), "UPDATE")
    rig.udp(reply(out, 200, headers=[("Contact", "<sip:bob@192.0.2.9>")]), BOB)
    ack = request("ACK", "sip:bob@192.0.2.9", branch="z9hG4bKk", headers=[("Route", rig.route())], **within)
    assert sent(rig.udp(ack, STRANGER)) == [("ACK", ("192.0.2.9", 5060))]


def test_the_value_is_short() -> None:
    """RFC 3261 18.1.1: every octet of Record-Route is in a request that should fit a datagram."""
    value = Stranger().invite.message.get("record-route") or ""
    assert len(value) <= len(f"<sip:{HOST}:5060;lr;d=>") + 30


def test_a_tag_that_cannot_be_read() -> None:
    """An answer whose To is broken has no dialog: our value goes, for it has the callee's mark."""
    call = Stranger(status=180)
    data = reply(call.invite, 200).replace(
        b"To: <sip:bob@biloxi.test>;tag=bob", b"To: <sip:bob@biloxi.test;tag=bob"
    )
    for out in call.rig.udp(data, BOB):
        assert b"Record-Route" not in out.data


def test_it_works_on_the_listener_it_came_by() -> None:
    """The listener of the far side is that of our value, as before."""
    assert Stranger().send()[-1].action.listener == UDP
