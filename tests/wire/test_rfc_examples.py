"""Every example message of sixteen RFCs: accepted, its values read, and sent back as it came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.wire import Request, check_headers, parse_message

FOLDER = Path(__file__).parents[2] / "conformance/sansip_conformance/data/rfc-examples"
MESSAGES = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["messages"]

# The RFCs' own mistakes that a parser must refuse, with the field to name.
REFUSED = {
    # URIs without a scheme (RFC 3261 24.2 itself has "sip:" in the same call).
    "rfc3261/rfc3261_009.sip": "From",
    "rfc5626/rfc5626_002.sip": "To",
    # An empty parameter.
    "rfc3428/rfc3428_004.sip": "From",
}
# Mistakes in fields that need not be understood to pass a message on: reported, not refused.
REPORTED = {
    # A semicolon is missing before "handling".
    "rfc3261/rfc3261_007.sip": "Content-Disposition",
    # Commas are missing, or the RFC's page break cut the field off.
    "rfc3665/rfc3665_003.sip": "Authorization",
    "rfc3665/rfc3665_062.sip": "Proxy-Authorization",
    "rfc3665/rfc3665_083.sip": "Proxy-Authorization",
    "rfc3665/rfc3665_156.sip": "Proxy-Authorization",
    # White space within the angle brackets (RFC 4475 3.1.2.14 lets it be refused).
    "rfc7118/rfc7118_003.sip": "Contact",
    "rfc7118/rfc7118_005.sip": "Contact",
    # An empty parameter of a Via below the top one.
    "rfc3428/rfc3428_003.sip": "Via",
    # A comma at the end of the list.
    "rfc7118/rfc7118_008.sip": "Route",
    # An empty parameter.
    "rfc5626/rfc5626_001.sip": "Contact",
    # A URI with parameters outside angle brackets, where the grammar wants them.
    "rfc4028/rfc4028_005.sip": "Record-Route",
    "rfc4028/rfc4028_006.sip": "Route",
    # Prose in the place of a value: "(whatever URI)".
    "rfc3515/rfc3515_001.sip": "Refer-To",
    "rfc3515/rfc3515_003.sip": "Subscription-State",
    "rfc3515/rfc3515_007.sip": "Refer-To",
    "rfc3515/rfc3515_009.sip": "Subscription-State",
    # The elision ". . ." on a line of its own reads as a fold of the field above.
    "rfc3327/rfc3327_001.sip": "Supported",
    **{f"rfc3327/rfc3327_00{number}.sip": "Path" for number in range(2, 9)},
    **{f"rfc3608/rfc3608_00{number}.sip": "Contact" for number in range(1, 4)},
    **{f"rfc3608/rfc3608_00{number}.sip": "Service-Route" for number in range(4, 7)},
    **{f"rfc3608/rfc3608_00{number}.sip": "Route" for number in range(7, 10)},
}
COUNTED = {
    "via_count": "via",
    "contact_count": "contact",
    "route_count": "route",
    "record_route_count": "record-route",
}


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row["file"].partition("/")[2][:-4])
def test_example(row: dict[str, Any]) -> None:
    """The parser finds the same as a separate minimal reader."""
    data = (FOLDER / row["file"]).read_bytes()
    if row["file"] in REFUSED:
        with pytest.raises(RemoteProtocolError) as caught:
            parse_message(data)
        assert caught.value.field == REFUSED[row["file"]]
        return
    message = parse_message(data)
    expect = row["expect"]
    found: dict[str, Any] = {
        "call_id": message.call_id,
        "cseq": list(message.cseq),
        "from_tag": message.from_tag,
        "to_tag": message.to_tag,
        "top_via_branch": message.via.branch,
        **{check: len(message.values(key)) for check, key in COUNTED.items()},
    }
    if isinstance(message, Request):
        found |= {"method": message.method, "ruri": message.uri_text}
    else:
        found |= {"status": message.status, "reason": message.reason}
    assert {name: value for name, value in found.items() if value != expect[name]} == {}
    assert message.to_bytes() == data
    reported = REPORTED.get(row["file"])
    assert {error.field for error in check_headers(message)} == ({reported} if reported else set())
