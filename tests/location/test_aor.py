"""The canonical address-of-record (RFC 3261 10.3 step 5)."""

from __future__ import annotations

import pytest

from sansip.location import address_of_record
from sansip.wire import parse_uri


@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        # 10.3 step 5: all URI parameters are removed, the user-param included.
        ("sip:+12125551212@example.com;user=phone;x=y", "sip:+12125551212@example.com"),
        ("sip:alice@example.com?subject=x", "sip:alice@example.com"),
        # 10.3 step 5: escaped characters are converted to their unescaped form.
        ("sip:%61lice@example.com", "sip:alice@example.com"),
        # 19.1.4: the user's case counts, the host's does not.
        ("sip:Alice@EXAMPLE.com", "sip:Alice@example.com"),
        # RFC 5630 5.2: SIP and SIPS addresses-of-record are equivalent.
        ("sips:alice@example.com", "sip:alice@example.com"),
        # The port says which server, not which user.
        ("sip:alice@example.com:5060", "sip:alice@example.com"),
        ("sip:alice:secret@example.com", "sip:alice@example.com"),
        ("sip:example.com", "sip:example.com"),
        ("sip:alice@[2001:DB8::1]:5060", "sip:alice@[2001:db8::1]"),
        # RFC 4475 3.1.1.4: a NUL does not end the user, and stays escaped.
        ("sip:null-%00-null@example.com", "sip:null-%00-null@example.com"),
        # RFC 4475 3.1.1.3: an escaped "@" must not become a separator.
        ("sip:sips%3auser%40example.com@example.net", "sip:sips%3Auser%40example.com@example.net"),
        ("tel:+1-212-555-1212", "tel:+12125551212"),
    ],
)
def test_canonical_form(uri, aor):
    """Every way to write one address-of-record gives one key."""
    assert address_of_record(parse_uri(uri)) == aor
