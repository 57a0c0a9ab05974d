"""Dialogs, paragraph by paragraph of RFC 3261 12."""

from __future__ import annotations

import pytest

from sansip.dialog import CONFIRMED, EARLY, ENDED, Dialog, DialogId, id_at_uac, id_at_uas, needs_sips_contact
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import Request, parse_uri
from tests.dialog.messages import CALL, answer, from_bob, invite

CONTACT = parse_uri("sip:bob@192.0.2.4")


def alice(status: int = 200, **given: object) -> Dialog:
    """Return the dialog as it is at Alice, who called."""
    request = invite()
    return Dialog.from_uac(request, answer(request, status, **given))


def bob(request: Request | None = None) -> Dialog:
    """Return the dialog as it is at Bob, who answers."""
    return Dialog.from_uas(request or invite(), "a6c85cf", CONTACT)


class TestMade:
    """RFC 3261 12.1: all parts of the state, on both sides."""

    def test_at_the_side_that_asked(self) -> None:
        """Every part of 12.1.2 is the other way round than in 12.1.1."""
        dialog = alice()
        # RFC 3261 12.1.2
        assert dialog.id == DialogId(CALL, "1928301774", "a6c85cf")
        assert dialog.local_cseq == 314159
        assert dialog.remote_cseq is None
        assert str(dialog.local.uri) == "sip:alice@atlanta.com"
        assert str(dialog.remote.uri) == "sip:bob@biloxi.com"
        assert str(dialog.remote_target) == "sip:bob@192.0.2.4"
        assert str(dialog.local_target) == "sip:alice@pc33.atlanta.com"
        assert dialog.state == CONFIRMED
        assert dialog.is_caller
        assert not dialog.secure

    def test_at_the_side_that_answers(self) -> None:
        """Bob is asked, so the numbers of Alice are the remote ones."""
        dialog = bob()
        # RFC 3261 12.1.1
        assert dialog.id == DialogId(CALL, "a6c85cf", "1928301774")
        assert dialog.local_cseq is None
        assert dialog.remote_cseq == 314159
        assert str(dialog.local.uri) == "sip:bob@biloxi.com"
        assert str(dialog.remote.uri) == "sip:alice@atlanta.com"
        assert str(dialog.remote_target) == "sip:alice@pc33.atlanta.com"
        assert dialog.local_target == CONTACT
        assert dialog.state == EARLY
        assert not dialog.is_caller
        dialog.confirm()
        assert dialog.state == CONFIRMED

    def test_without_a_contact_of_ours(self) -> None:
        """A side that answers may not know yet by which address it can be reached."""
        dialog = Dialog.from_uas(invite(), "a6c85cf")
        assert dialog.local_target is None
        assert not dialog.make("UPDATE").has("contact")

    def test_both_ends_name_it_by_the_same_tags(self) -> None:
        """The local part of one end is the remote part of the other: messages find their dialog by it."""
        # RFC 3261 12
        ours, theirs = alice(), bob()
        assert id_at_uas(theirs.make("BYE")) == ours.id
        assert id_at_uas(ours.make("BYE")) == theirs.id
        assert id_at_uac(answer(invite(), 200)) == ours.id

    @pytest.mark.parametrize("status", [101, 180, 199])
    def test_a_provisional_response_makes_an_early_one(self, status: int) -> None:
        """PRACK, UPDATE and BYE are sent in it before anybody answers."""
        # RFC 3261 12.1
        assert alice(status).state == EARLY

    @pytest.mark.parametrize("status", [100, 300, 486, 603])
    def test_others_make_none(self, status: int) -> None:
        """A 100 comes from the next hop, a failure ends the attempt."""
        with pytest.raises(RemoteProtocolError):
            alice(status)

    def test_a_fork_makes_one_for_each_tag(self) -> None:
        """Each phone that rings is a dialog of its own, with a route set of its own."""
        # RFC 3261 13.2.2.4
        request = invite()
        first = Dialog.from_uac(request, answer(request, 180, [("Record-Route", "<sip:p1;lr>")]))
        second = Dialog.from_uac(request, answer(request, 180, to_tag="other", contact="<sip:b@192.0.2.5>"))
        assert first.id != second.id
        assert second.route_set == ()
        assert str(second.make("BYE").uri) == "sip:b@192.0.2.5"
        assert first.make("BYE").uri_text == "sip:bob@192.0.2.4"

    @pytest.mark.parametrize("contact", [None, "*", "<sip:a@1.2.3.4>, <sip:a@1.2.3.5>", "<tel:+1234>"])
    def test_a_request_without_one_sip_contact_begins_none(self, contact: str | None) -> None:
        """Without one, no request could ever be sent back: 400 now, not a lost BYE later."""
        # RFC 3261 8.1.1.8
        with pytest.raises(RemoteProtocolError) as caught:
            bob(invite(contact=contact))
        assert caught.value.status == 400

    def test_a_response_without_contact(self) -> None:
        """Ringing without a Contact is legal (20.10), so its PRACK goes where the INVITE went."""
        assert alice(180, contact=None).make("PRACK").uri_text == "sip:bob@biloxi.com"

    def test_null_tags(self) -> None:
        """A peer of RFC 2543 has no tag: then ours write none either."""
        # RFC 3261 12.1.1, 12.1.2: "considered to have a value of null"; 12.2.1.1: omitted.
        theirs = bob(invite(from_tag=None))
        assert theirs.id.remote_tag == ""
        assert theirs.make("BYE").get("to") == "Alice <sip:alice@atlanta.com>"
        ours = alice(to_tag=None)
        assert ours.id.remote_tag == ""
        bye = ours.make("BYE")
        assert bye.get("to") == "Bob <sip:bob@biloxi.com>"
        assert bye.get("from") == "Alice <sip:alice@atlanta.com>;tag=1928301774"

    def test_parameters_of_from_and_to_stay_behind(self) -> None:
        """Only URI and tag are said to come back, and a second tag would be malformed."""
        # RFC 3261 12.2.1.1
        request = invite()
        request.set("From", "<sip:alice@atlanta.com>;x=1;tag=77")
        assert bob(request).make("BYE").get("to") == "<sip:alice@atlanta.com>;tag=77"


class TestSecure:
    """The secure flag, and the Contact that goes with it."""

    def test_over_tls_for_a_sips_uri(self) -> None:
        """Both are needed: sips: over a plain hop is no security."""
        # RFC 3261 12.1.1, 12.1.2
        for uri, over_tls, secure in (
            ("sips:bob@biloxi.com", True, True),
            ("sips:bob@biloxi.com", False, False),
            ("sip:bob@biloxi.com", True, False),
        ):
            request = invite(uri, contact="<sips:alice@pc33.atlanta.com>")
            ours = Dialog.from_uac(request, answer(request, contact="<sips:bob@h>"), over_tls=over_tls)
            theirs = Dialog.from_uas(request, "t", parse_uri("sips:bob@h"), over_tls=over_tls)
            assert (ours.secure, theirs.secure) == (secure, secure)

    def test_its_contact_stays_sips(self) -> None:
        """A sip: Contact in it would take the next request off TLS without a word."""
        # RFC 3261 12.2.1.1
        request = invite("sips:bob@biloxi.com", contact="<sips:alice@pc33.atlanta.com>")
        with pytest.raises(LocalProtocolError):
            Dialog.from_uas(request, "t", CONTACT, over_tls=True)
        dialog = Dialog.from_uas(request, "t", parse_uri("sips:bob@h"), over_tls=True)
        with pytest.raises(LocalProtocolError):
            dialog.make("INVITE", contact=CONTACT)
        assert dialog.local_cseq is None

    @pytest.mark.parametrize(
        ("uri", "headers", "contact", "needed"),
        [
            ("sips:bob@biloxi.com", [], "<sip:a@h>", True),
            ("sip:bob@biloxi.com", [], "<sip:a@h>", False),
            ("sip:bob@biloxi.com", [], "<sips:a@h>", True),
            ("sip:bob@biloxi.com", [("Record-Route", "<sips:p;lr>")], "<sip:a@h>", True),
            ("sip:bob@biloxi.com", [("Record-Route", "<sip:p;lr>, <sips:q;lr>")], "<sips:a@h>", False),
        ],
    )
    def test_when_the_answer_needs_a_sips_contact(
        self, uri: str, headers: list[tuple[str, str]], contact: str, needed: bool
    ) -> None:
        """Request-URI, else the top Record-Route, else the Contact where nothing is recorded."""
        # RFC 3261 12.1.1
        assert needs_sips_contact(invite(uri, headers, contact=contact), received=True) is needed

    @pytest.mark.parametrize(
        ("uri", "route", "needed"),
        [
            ("sips:bob@biloxi.com", None, True),
            ("sip:bob@biloxi.com", None, False),
            ("sip:bob@biloxi.com", "<sips:p;lr>", True),
            ("sip:bob@biloxi.com", "<sip:p;lr>, <sips:q;lr>", False),
        ],
    )
    def test_when_the_request_needs_one(self, uri: str, route: str | None, needed: bool) -> None:
        """The Contact of our own request does not say so: Request-URI and first Route do."""
        # RFC 3261 12.1.2
        headers = [("Route", route)] if route else []
        assert needs_sips_contact(invite(uri, headers, contact="<sips:a@h>"), received=False) is needed


class TestRequests:
    """RFC 3261 12.2.1.1: what a request within the dialog says."""

    def test_every_field(self) -> None:
        """To and From have changed places at Bob, the tags with them."""
        dialog = bob(invite(headers=[("Record-Route", "<sip:p2;lr>, <sip:p1;lr>")]))
        dialog.confirm()
        request = dialog.make("BYE", [("Reason", "SIP;cause=200")])
        assert request.to_bytes() == (
            b"BYE sip:alice@pc33.atlanta.com SIP/2.0\r\n"
            b"Route: <sip:p2;lr>\r\n"
            b"Route: <sip:p1;lr>\r\n"
            b"Max-Forwards: 70\r\n"
            b"From: Bob <sip:bob@biloxi.com>;tag=a6c85cf\r\n"
            b"To: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n"
            b"Call-ID: a84b4c76e66710\r\n"
            b"CSeq: 1 BYE\r\n"
            b"Reason: SIP;cause=200\r\n"
            b"Content-Length: 0\r\n\r\n"
        )

    def test_numbers_go_up_by_one(self) -> None:
        """A gap is legal for the receiver, but never made by a sender."""
        dialog = alice()
        # RFC 3261 12.2.1.1: contiguous.
        assert [dialog.make(method).cseq.number for method in ("INFO", "UPDATE")] == [314160, 314161]

    def test_a_request_repeated_with_credentials_takes_a_number(self) -> None:
        """Two requests under way, the first of them challenged: both with one number would be lost."""
        # RFC 3261 22.2: the CSeq is incremented.
        dialog = alice()
        dialog.make("INFO")
        dialog.make("UPDATE")
        assert dialog.next_cseq() == 314162
        assert dialog.make("BYE").cseq.number == 314163

    def test_numbers_end_below_two_to_the_31(self) -> None:
        """The last number is used, and no more: beyond it the peer may refuse the message as malformed."""
        # RFC 3261 8.1.1.5
        request = invite(number=2**31 - 2)
        dialog = Dialog.from_uac(request, answer(request))
        assert dialog.make("INFO").cseq.number == 2**31 - 1
        with pytest.raises(LocalProtocolError):
            dialog.make("INFO")

    @pytest.mark.parametrize("method", ["INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"])
    def test_target_refresh_requests_carry_our_contact(self, method: str) -> None:
        """Without a change it is the same as before, so the peer keeps what it has."""
        # RFC 3261 12.2.1.1
        dialog = alice()
        assert dialog.make(method).get("contact") == "<sip:alice@pc33.atlanta.com>"
        moved = parse_uri("sip:alice@192.0.2.77")
        assert dialog.make(method, contact=moved).get("contact") == "<sip:alice@192.0.2.77>"
        assert dialog.make(method).get("contact") == "<sip:alice@192.0.2.77>"

    @pytest.mark.parametrize("method", ["BYE", "INFO", "PRACK", "MESSAGE"])
    def test_others_carry_none(self, method: str) -> None:
        """They cannot move the dialog, and a Contact in a BYE or PRACK is not allowed at all."""
        # RFC 3261 table 2, RFC 3262 table 1
        assert not alice().make(method).has("contact")

    @pytest.mark.parametrize("method", ["ACK", "CANCEL"])
    def test_ack_and_cancel_are_not_made_like_others(self, method: str) -> None:
        """They repeat a number, and would otherwise use one up."""
        with pytest.raises(LocalProtocolError):
            alice().make(method)

    def test_nothing_is_sent_in_an_ended_dialog(self) -> None:
        """The peer has forgotten it and would answer 481."""
        dialog = alice()
        dialog.end()
        with pytest.raises(LocalProtocolError):
            dialog.make("INFO")


class TestAck:
    """RFC 3261 13.2.2.4: the ACK for a 2xx."""

    def test_it_repeats_number_and_credentials_and_follows_the_route_set(self) -> None:
        """A number of its own, or no credentials, and a proxy on the way drops it: the call ends in 32 s."""
        request = invite(
            headers=[("Proxy-Authorization", 'Digest username="a"'), ("Authorization", 'Digest r="b"')]
        )
        dialog = Dialog.from_uac(
            request, answer(request, headers=[("Record-Route", "<sip:p2;lr>, <sip:p1;lr>")])
        )
        dialog.make("INFO")
        ack = dialog.ack(request, [("Content-Type", "application/sdp")], b"v=0")
        assert ack.uri_text == "sip:bob@192.0.2.4"
        assert ack.get_all("route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
        assert (ack.cseq.number, ack.cseq.method) == (314159, "ACK")
        assert ack.get_all("proxy-authorization") == ['Digest username="a"']
        assert ack.get_all("authorization") == ['Digest r="b"']
        assert ack.body == b"v=0"
        assert ack.get("content-type") == "application/sdp"
        assert ack.content_length == 3
        # No number is used up.
        assert dialog.make("BYE").cseq.number == 314161

    def test_it_may_still_be_made_when_the_dialog_has_ended(self) -> None:
        """A BYE crosses the 2xx, which is repeated until somebody acknowledges it."""
        dialog = alice()
        dialog.end()
        assert dialog.ack(invite()).method == "ACK"


class TestTaken:
    """RFC 3261 12.2.2: requests of the peer."""

    def test_the_first_number_is_whatever_it_is(self) -> None:
        """At the side that asked, the peer's numbers begin with its first request."""
        dialog = alice()
        assert dialog.take(from_bob("INFO", 7)) is None
        assert dialog.remote_cseq == 7

    @pytest.mark.parametrize("number", [8, 100, 2**31 + 5])
    def test_a_higher_number_is_in_order_with_or_without_a_gap(self, number: int) -> None:
        """A proxy that challenged a request leaves a gap: that is no error."""
        dialog = alice()
        dialog.take(from_bob("INFO", 7))
        assert dialog.take(from_bob("INFO", number)) is None
        assert dialog.remote_cseq == number

    @pytest.mark.parametrize("number", [0, 6, 7])
    def test_a_lower_or_equal_number_is_out_of_order(self, number: int) -> None:
        """An old request must not undo a newer one, and none may act twice."""
        dialog = alice()
        dialog.take(from_bob("INFO", 7))
        refusal = dialog.take(from_bob("INFO", number))
        # RFC 3261 12.2.2: 500; a Retry-After would invite the same number again.
        assert refusal is not None
        assert (refusal.status, refusal.headers) == (500, ())
        assert dialog.remote_cseq == 7

    def test_an_ended_dialog_knows_no_request(self) -> None:
        """RFC 3261 15.1.2: as if it had never been."""
        dialog = alice()
        dialog.end()
        refusal = dialog.take(from_bob("INFO", 7))
        assert refusal is not None
        assert refusal.status == 481

    @pytest.mark.parametrize("method", ["INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"])
    def test_an_accepted_target_refresh_moves_the_target(self, method: str) -> None:
        """The peer changed networks: what follows goes to its new address, by the same proxies."""
        dialog = alice(headers=[("Record-Route", "<sip:p1;lr>")])
        request = from_bob(
            method, 1, [("Contact", "<sip:bob@198.51.100.9>"), ("Record-Route", "<sip:evil;lr>")]
        )
        assert dialog.take(request) is None
        # RFC 3261 12.2.2, RFC 6141 4.6: not before it is accepted.
        assert str(dialog.remote_target) == "sip:bob@192.0.2.4"
        dialog.refresh(request)
        assert str(dialog.remote_target) == "sip:bob@198.51.100.9"
        # RFC 3261 12.2: the route set stays.
        assert [str(one) for one in dialog.route_set] == ["<sip:p1;lr>"]

    def test_without_contact_the_target_stays(self) -> None:
        """ "If present", says 12.2.2."""
        dialog = alice()
        dialog.refresh(from_bob("UPDATE", 1))
        assert str(dialog.remote_target) == "sip:bob@192.0.2.4"

    @pytest.mark.parametrize("contact", ["*", "<tel:+1>", "<sip:a@h>, <sip:b@h>"])
    def test_a_target_refresh_with_a_useless_contact_is_refused(self, contact: str) -> None:
        """Refused before anything changes: 12.2.2 calls requests atomic."""
        dialog = alice()
        refusal = dialog.take(from_bob("INVITE", 1, [("Contact", contact)]))
        assert refusal is not None
        assert refusal.status == 400
        assert dialog.remote_cseq is None


class TestAnswered:
    """Responses to our requests."""

    def test_the_2xx_confirms_and_brings_its_own_route_set(self) -> None:
        """Ringing of old phones has no Record-Route: only the 2xx is sure to."""
        request = invite()
        dialog = Dialog.from_uac(request, answer(request, 180, [("Record-Route", "<sip:old;lr>")]))
        dialog.take(from_bob("UPDATE", 5))
        dialog.make("PRACK")
        dialog.answered(
            request, answer(request, 200, [("Record-Route", "<sip:p2;lr>, <sip:p1;lr>")], contact="<sip:b@n>")
        )
        assert dialog.state == CONFIRMED
        # RFC 3261 13.2.2.4: recomputed; the numbers are not.
        assert [str(one) for one in dialog.route_set] == ["<sip:p1;lr>", "<sip:p2;lr>"]
        assert (dialog.local_cseq, dialog.remote_cseq) == (314160, 5)
        assert str(dialog.remote_target) == "sip:b@n"

    def test_a_later_2xx_does_not_touch_the_route_set(self) -> None:
        """RFC 3261 12.2: re-INVITE and UPDATE move the target, never the route set."""
        dialog = alice(headers=[("Record-Route", "<sip:p1;lr>")])
        for method in ("INVITE", "UPDATE"):
            request = dialog.make(method)
            dialog.answered(
                request,
                answer(request, 200, [("Record-Route", "<sip:other;lr>")], contact=f"<sip:{method}@n>"),
            )
            assert [str(one) for one in dialog.route_set] == ["<sip:p1;lr>"]
            # RFC 3261 12.2.1.2
            assert str(dialog.remote_target) == f"sip:{method}@n"

    def test_other_responses_move_nothing(self) -> None:
        """Responses to other methods, failures, and unreliable 1xx leave the target."""
        dialog = alice()
        moved = {"contact": "<sip:elsewhere@n>"}
        for method, status in (
            ("INFO", 200),
            ("BYE", 200),
            ("UPDATE", 300),
            ("INVITE", 488),
            ("INVITE", 183),
        ):
            request = dialog.make(method)
            dialog.answered(request, answer(request, status, **moved))
            # RFC 3261 12.2, RFC 6141 4.7
            assert str(dialog.remote_target) == "sip:bob@192.0.2.4"

    def test_a_reliable_provisional_response_moves_the_target(self) -> None:
        """The peer considers its move done when it has sent one."""
        # RFC 6141 4.7
        dialog = alice()
        request = dialog.make("INVITE")
        dialog.answered(
            request, answer(request, 183, [("Require", "100rel"), ("RSeq", "9")], contact="<sip:b@n>")
        )
        assert str(dialog.remote_target) == "sip:b@n"

    def test_a_failure_of_the_first_request_ends_the_early_dialog(self) -> None:
        """RFC 3261 12.3: whichever branch of a fork it came from."""
        request = invite()
        dialog = Dialog.from_uac(request, answer(request, 180))
        dialog.answered(request, answer(request, 180))
        assert dialog.state == EARLY
        dialog.answered(request, answer(request, 300, to_tag="other"))
        assert dialog.state == ENDED

    def test_a_failure_of_a_re_invite_does_not(self) -> None:
        """RFC 3261 14.1: the session stays as it was."""
        dialog = alice()
        request = dialog.make("INVITE")
        dialog.answered(request, answer(request, 488))
        assert dialog.state == CONFIRMED

    def test_a_2xx_that_cannot_be_used_changes_nothing(self) -> None:
        """A malformed Contact must not leave half a dialog behind."""
        request = invite()
        dialog = Dialog.from_uac(request, answer(request, 180))
        for headers, contact in (([], "*"), ([("Record-Route", "<tel:+1>")], "<sip:b@n>")):
            with pytest.raises(RemoteProtocolError):
                dialog.answered(request, answer(request, 200, headers, contact=contact))
            assert dialog.state == EARLY
            assert str(dialog.remote_target) == "sip:bob@192.0.2.4"

    def test_an_ended_dialog_stays_as_it_is(self) -> None:
        """A 2xx that comes after the end is acknowledged, and moves nothing."""
        dialog = alice(180)
        dialog.end()
        dialog.answered(invite(), answer(invite(), 200, contact="<sip:elsewhere@n>"))
        assert dialog.state == ENDED
        assert str(dialog.remote_target) == "sip:bob@192.0.2.4"


def test_a_copy_is_independent() -> None:
    """The same dialog in two hands: one of them may go on."""
    dialog = alice()
    other = dialog.copy()
    other.make("INFO")
    assert (dialog.local_cseq, other.local_cseq) == (314159, 314160)
    assert other.id == dialog.id
