"""A binding as a value."""

from __future__ import annotations

from sansip.wire import SipUri


def test_its_uri_is_parsed_when_asked_for(make_binding):
    """A proxy needs it once per call, a registrar hardly ever."""
    uri = make_binding("sip:alice@192.0.2.1:5070;ob").uri

    assert isinstance(uri, SipUri)
    assert (uri.host, uri.port) == ("192.0.2.1", 5070)


def test_it_ends_at_the_instant_of_its_expiry(make_binding):
    """RFC 3261 10.2.1: registered for an interval, and not longer."""
    assert not make_binding(expires_at=60.0).expired(59.999)
    assert make_binding(expires_at=60.0).expired(60.0)
