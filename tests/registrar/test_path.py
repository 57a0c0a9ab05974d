"""The way back to the phone, through the proxies that the REGISTER came by (RFC 3327)."""

from __future__ import annotations

import pytest

from tests.registrar.conftest import PHONE


class TestPath:
    """RFC 3327 5.3."""

    PATH = ("Path: <sip:p3.example.com;lr>,<sip:p1.example.com;lr>", "Path: <sip:p0.example.com;lr>")
    VALUES = ("<sip:p3.example.com;lr>", "<sip:p1.example.com;lr>", "<sip:p0.example.com;lr>")

    def test_it_is_kept_with_the_binding_and_returned(self, site, values):
        """The order of the values is preserved."""
        reply = site.send(PHONE, headers=[*self.PATH, "Supported: path"])

        assert site.bindings()[0].path == self.VALUES
        assert values(reply, "Path") == list(self.VALUES)

    def test_each_refresh_sets_it_anew(self, site):
        """A phone that moved away from the edge proxy is reached directly."""
        site.send(PHONE, headers=[*self.PATH, "Supported: path"])
        site.send(PHONE)

        assert site.bindings()[0].path == ()

    def test_a_phone_that_does_not_support_it_is_refused(self, site, values):
        """ "The recommended policy is … to reject the request with a 420"."""
        reply = site.send(PHONE, headers=self.PATH)

        assert (reply.status, values(reply, "Unsupported")) == (420, ["path"])
        assert site.contacts() == []

    def test_or_is_served_and_not_told(self, make_site, values):
        """ "Some registrars MAY choose to support the extension"; RFC 3261 8.2.4 keeps it out of the 200."""
        site = make_site(path="lenient")

        reply = site.send(PHONE, headers=self.PATH)

        assert (reply.status, values(reply, "Path")) == (200, [])
        assert site.bindings()[0].path == self.VALUES

    def test_or_path_is_not_known_at_all(self, make_site, values):
        """Then it is ignored when present (RFC 3261 8.2.2) and refused when required."""
        site = make_site(path="ignore")

        reply = site.send(PHONE, headers=[*self.PATH, "Supported: path"])

        assert (reply.status, values(reply, "Path"), values(reply, "Supported")) == (200, [], [])
        assert site.bindings()[0].path == ()
        assert site.send(PHONE, headers=["Require: path"]).status == 420

    @pytest.mark.parametrize(
        "path", ["Path: garbage", "Path: <sip:p1.example.com", "Path: sip:p1.example.com"]
    )
    def test_a_path_that_cannot_be_a_route_is_refused(self, site, path):
        """Every call to the phone would fail later."""
        assert site.send(PHONE, headers=[path, "Supported: path"]).status == 400
