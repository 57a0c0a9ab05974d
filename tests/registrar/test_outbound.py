"""Outbound at the registrar (RFC 5626 6): flows of a device, beside contacts that are none."""

from __future__ import annotations

import pytest

from sansip.registrar import instance_key

UUID = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
OUTBOUND = ("Supported: path, outbound",)
EDGE = "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKedge"


def flow(number=1, host="192.0.2.1", instance=UUID, rest=""):
    return f'<sip:alice@{host}>;+sip.instance="<{instance}>";reg-id={number}{rest}'


def marks(site):
    return sorted(((one.contact, one.reg_id) for one in site.bindings()), key=str)


class TestNegotiation:
    """The fields of the answer, and whether the reg-id counts."""

    def test_a_phone_at_first_hand(self, site, values):
        """RFC 5626 6: Require: outbound tells the phone that it worked."""
        reply = site.send(flow(), headers=OUTBOUND)

        assert (reply.status, values(reply, "Require")) == (200, ["outbound"])
        assert values(reply, "Contact") == [
            f'<sip:alice@192.0.2.1>;expires=3600;+sip.instance="<{UUID}>";reg-id=1'
        ]

    def test_a_phone_that_does_not_say_that_it_supports_it(self, site, values):
        """The binding counts all the same; Require would name an extension that the phone does not know."""
        assert values(site.send(flow()), "Require") == []
        assert marks(site) == [("sip:alice@192.0.2.1", 1)]

    def test_a_contact_that_names_no_flow(self, site, values):
        """RFC 5626 6: MUST NOT include the option tag."""
        assert values(site.send("<sip:alice@192.0.2.1>", headers=OUTBOUND), "Require") == []

    def test_a_reg_id_without_an_instance(self, site, values):
        """RFC 5626 6: the reg-id is ignored."""
        reply = site.send("<sip:alice@192.0.2.1>;reg-id=1", headers=OUTBOUND)

        assert (reply.status, values(reply, "Require"), marks(site)) == (
            200, [], [("sip:alice@192.0.2.1", None)],
        )  # fmt: skip

    def test_a_first_hop_that_cannot(self, site):
        """RFC 5626 6, 11.6: 439 where the phone counts on it, and nothing is bound."""
        reply = site.send(flow(), headers=(*OUTBOUND, EDGE))

        assert (reply.status, reply.reason, marks(site)) == (439, "First Hop Lacks Outbound Support", [])

    def test_a_path_without_ob(self, site):
        """A Path is not enough: the first hop has to say that it keeps the flow."""
        assert site.send(flow(), headers=(*OUTBOUND, EDGE, "Path: <sip:edge.example.com;lr>")).status == 439

    def test_for_others_the_reg_id_is_ignored(self, site, values):
        """RFC 5626 6: 439 is for phones that advertise support."""
        path = "Path: <sip:edge.example.com;lr>"
        reply = site.send(flow(), headers=("Supported: path", EDGE, path))

        assert (reply.status, values(reply, "Require")) == (200, [])
        assert marks(site) == [("sip:alice@192.0.2.1", None)]

    def test_an_edge_proxy_that_can(self, site, values):
        """RFC 5626 5.1: its Path has ob, and is kept with the binding."""
        path = "<sip:token@edge.example.com;lr;ob>"
        reply = site.send(flow(), headers=(*OUTBOUND, EDGE, f"Path: {path}"))

        assert (reply.status, values(reply, "Require"), values(reply, "Path")) == (200, ["outbound"], [path])
        assert site.bindings()[0].path == (path,)

    def test_ob_is_for_the_first_hop_to_say(self, site):
        """RFC 5626 5.1: others MUST NOT place it, and theirs says nothing about the first."""
        inner, edge = "<sip:p.example.com;lr;ob>", "<sip:edge.example.com;lr>"
        assert site.send(flow(), headers=(*OUTBOUND, EDGE, f"Path: {inner}, {edge}")).status == 439
        inner, edge = "<sip:p.example.com;lr>", "<sip:edge.example.com;lr;ob>"
        assert site.send(flow(), headers=(*OUTBOUND, EDGE, f"Path: {inner}, {edge}")).status == 200

    def test_two_values_in_one_via_line(self, site, make_register):
        """RFC 3261 7.3.1: a list in one line is as good as two lines."""
        request = make_register(flow(), headers=OUTBOUND)
        request.set_line("via", f"Via: {EDGE[5:]}, SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKb")

        assert site.answer(request).status == 439

    def test_several_contacts_and_a_flow(self, site):
        """RFC 5626 6: a flow is registered alone; removed contacts do not count."""
        other = "<sip:alice@192.0.2.7>"
        assert site.send(flow(), other, headers=OUTBOUND).status == 400
        assert site.send(other).status == 200
        assert site.send(flow(), f"{other};expires=0", headers=OUTBOUND).status == 200
        assert marks(site) == [("sip:alice@192.0.2.1", 1)]

    def test_the_flow_timer(self, make_site, values):
        """RFC 5626 6: only with Require, and only to a phone with a direct flow."""
        site = make_site(flow_timer=120)
        edge = (EDGE, "Path: <sip:edge.example.com;lr;ob>")

        assert values(site.send(flow(), headers=OUTBOUND), "Flow-Timer") == ["120"]
        assert values(site.send(flow()), "Flow-Timer") == []
        assert values(site.send(flow(2), headers=(*OUTBOUND, *edge)), "Flow-Timer") == []

    def test_an_operator_who_wants_none_of_it(self, make_site, values):
        """Then a reg-id is an unknown parameter, and the extension is not supported."""
        site = make_site(outbound=False)
        reply = site.send(flow(), headers=OUTBOUND)

        assert (reply.status, values(reply, "Require")) == (200, [])
        assert site.send(flow(), headers=("Require: outbound", EDGE)).status == 420
        assert site.send(flow(), headers=(*OUTBOUND, EDGE)).status == 200


class TestBinding:
    """RFC 5626 6: between an address-of-record and an instance with a reg-id."""

    def test_a_new_flow_replaces_the_old_one(self, site):
        """The phone came back from elsewhere, with another Contact and another Call-ID."""
        site.send(flow(host="192.0.2.1"), headers=OUTBOUND, flow="one", call_id="a")
        site.send(flow(host="192.0.2.2"), headers=OUTBOUND, flow="two", call_id="b")

        assert marks(site) == [("sip:alice@192.0.2.2", 1)]
        assert site.bindings()[0].flow == "two"

    def test_two_flows_stand_side_by_side(self, site):
        """Even with one and the same Contact URI."""
        site.send(flow(1), headers=OUTBOUND, call_id="a")
        site.send(flow(2), headers=OUTBOUND, call_id="b")

        assert marks(site) == [("sip:alice@192.0.2.1", 1), ("sip:alice@192.0.2.1", 2)]

    def test_two_devices_with_one_reg_id(self, site):
        """Their instances tell them apart."""
        site.send(flow(1), headers=OUTBOUND, call_id="a")
        site.send(flow(1, instance="urn:uuid:1"), headers=OUTBOUND, call_id="b")

        assert len(site.bindings()) == 2

    def test_instances_are_compared_as_urns(self, site):
        """RFC 5626 4.1: by the rules of the scheme, which for a UUID know no case."""
        site.send(flow(1), headers=OUTBOUND, call_id="a")
        site.send(flow(1, instance=UUID.upper()), headers=OUTBOUND, call_id="b")

        assert len(site.bindings()) == 1
        assert instance_key("URN:Foo:a%2cB") == instance_key("urn:foo:a%2cB") != instance_key("urn:foo:A%2cB")

    def test_a_contact_without_a_flow_is_no_rival(self, site):
        """RFC 5626 6: both kinds may be there at once, with one URI."""
        site.send(flow(1), headers=OUTBOUND, call_id="a")
        site.send("<sip:alice@192.0.2.1>", call_id="b")
        site.send(flow(1), headers=OUTBOUND, call_id="a")

        assert marks(site)[0][0] == marks(site)[1][0] == "sip:alice@192.0.2.1"
        assert {one.reg_id for one in site.bindings()} == {None, 1}

    def test_a_flow_is_removed_by_its_reg_id(self, site):
        """The other flow stays."""
        site.send(flow(1), headers=OUTBOUND, call_id="a")
        site.send(flow(2), headers=OUTBOUND, call_id="b")
        site.send(flow(1, rest=";expires=0"), headers=OUTBOUND, call_id="a")

        assert marks(site) == [("sip:alice@192.0.2.1", 2)]

    def test_a_removal_that_names_no_flow(self, site):
        """The contact is gone, whichever flows it had."""
        for number in (1, 2):
            site.send(flow(number), headers=OUTBOUND, call_id=str(number))
        site.send("<sip:alice@192.0.2.1>;expires=0", call_id="c")

        assert marks(site) == []

    def test_all_are_removed_by_a_star(self, site):
        """RFC 3261 10.2.2."""
        site.send(flow(1), headers=OUTBOUND, call_id="a")
        site.send("*", expires=0, call_id="b")

        assert marks(site) == []

    def test_an_old_request_does_not_bring_back_an_old_flow(self, site):
        """RFC 3261 10.3 step 7 holds for flows as well."""
        site.send(flow(host="192.0.2.2"), headers=OUTBOUND, cseq=5)

        assert site.send(flow(host="192.0.2.1"), headers=OUTBOUND, cseq=4).status == 500
        assert marks(site) == [("sip:alice@192.0.2.2", 1)]

    def test_the_limit_counts_flows(self, make_site):
        """limits.bindings_per_aor and max_contacts hold whatever the reg-ids are."""
        site = make_site(max_contacts=2)
        statuses = [
            site.send(flow(number), headers=OUTBOUND, call_id=str(number)).status for number in (1, 2, 3)
        ]

        assert statuses == [200, 200, 503]


@pytest.mark.parametrize("odd", ["", ":", "urn", "urn:", "urn:UUID:", "tag:x"])
def test_any_instance_has_a_key(odd):
    """Nothing that a phone writes there makes it raise."""
    assert instance_key(odd) == instance_key(instance_key(odd))
