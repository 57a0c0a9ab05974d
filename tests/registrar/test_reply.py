"""What the 200 says: RFC 3261 10.3, step 8."""

from __future__ import annotations

from tests.registrar.conftest import DESK, PHONE, SOURCE


class TestResponse:
    """Step 8: the 200."""

    def test_every_current_binding_is_in_it(self, site, values):
        """One line each, those of other phones too, best first."""
        site.send(f"{PHONE};q=0.35;expires=60", call_id="phone")

        reply = site.send(f"{DESK};q=0.5", call_id="desk")

        assert values(reply, "Contact") == [
            "<sip:alice@192.0.2.2>;expires=3600;q=0.5",
            "<sip:alice@192.0.2.1>;expires=60;q=0.35",
        ]

    def test_it_tells_the_time(self, site, make_register, values):
        """ "The response SHOULD include a Date header field" (20.17)."""
        reply = site.answer(make_register(PHONE), wall_offset=1289690940.0 - site.now)

        assert values(reply, "Date") == ["Sat, 13 Nov 2010 23:29:00 GMT"]

    def test_it_tells_no_time_it_does_not_know(self, site, values):
        """The core has no clock."""
        assert values(site.send(PHONE), "Date") == []

    def test_it_says_what_is_supported(self, site, values):
        """RFC 3327 5.3, RFC 5626 6."""
        assert values(site.send(PHONE), "Supported") == ["outbound, path"]

    def test_a_service_route_is_given_in_order(self, make_site, values):
        """RFC 3608 6.3: the phone uses it for its own requests."""
        route = ("<sip:p2.example.com;lr>", "<sip:hsp.example.com;lr>")

        assert values(make_site(service_route=route).send(PHONE), "Service-Route") == list(route)

    def test_the_source_is_shown_if_the_operator_wants_it(self, make_site, values):
        """R14: what Kamailio calls the received parameter."""
        reply = make_site(show_received=True).send(PHONE, received=SOURCE)

        assert values(reply, "Contact") == [
            '<sip:alice@192.0.2.1>;expires=3600;received="sip:198.51.100.1:1024"'
        ]

    def test_the_instance_of_a_device_is_returned(self, site, values):
        """RFC 5627 5.2, RFC 5626 6: with whatever else describes it (RFC 3840)."""
        contact = f'{PHONE};expires=600;+sip.instance="<urn:uuid:1>";reg-id=1;audio;methods="INVITE,BYE"'

        assert values(site.send(contact), "Contact") == [contact]

    def test_there_is_no_record_route(self, site, values):
        """10.3: ignored in the request, never in a response."""
        reply = site.send(PHONE, headers=["Record-Route: <sip:p1.example.com;lr>"])

        assert (reply.status, values(reply, "Record-Route")) == (200, [])
