"""A contact that is reached by TLS only (RFC 5630)."""

from __future__ import annotations

from tests.registrar.conftest import PHONE


class TestSips:
    """RFC 5630 5.2: a SIPS contact needs SIPS all the way."""

    def test_over_a_sip_request_uri_it_is_refused(self, site):
        """400."""
        assert site.send("<SIPS:alice@192.0.2.1>").status == 400
        assert site.send("<sips:alice@192.0.2.1>", uri="sips:example.com").status == 200

    def test_every_path_value_is_looked_at(self, site):
        """One hop that is not secure is enough."""
        path = ["Supported: path", "Path: <sips:p1.example.com;lr>, <sip:p2.example.com;lr>"]

        assert site.send("<sips:alice@192.0.2.1>", uri="sips:example.com", headers=path).status == 400
        assert site.send("<sips:alice@192.0.2.1>", uri="sips:example.com", headers=path[:1]).status == 200

    def test_a_sip_contact_may_come_by_sips(self, site):
        """Only the other direction loses security."""
        assert site.send(PHONE, uri="sips:example.com", to="<sips:alice@example.com>").status == 200
