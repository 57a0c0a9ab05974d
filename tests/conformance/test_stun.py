"""The word for a STUN answer in a trace, by the sample responses of RFC 5769 (2.2 and 2.3)."""

from __future__ import annotations

import pytest

from sansip_conformance.stun import is_stun_answer

HEAD = "2112a442b7e7a701bc34d686fa87dfae"
SOFTWARE = "8022000b7465737420766563746f7220"
IPV4 = bytes.fromhex(
    f"0101003c{HEAD}{SOFTWARE}002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
IPV6 = bytes.fromhex(
    f"01010048{HEAD}{SOFTWARE}002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
REFUSAL = bytes.fromhex(f"01110010{HEAD}0009000400000414000a000200240000")


@pytest.mark.parametrize(
    ("data", "what", "host", "port", "right"),
    [
        (IPV4, "stun", "192.0.2.1", 32853, True),
        (IPV4, "stun", "192.0.2.2", 32853, False),
        (IPV4, "stun", "192.0.2.1", 32854, False),
        (IPV4, "stun-refusal", "192.0.2.1", 32853, False),
        (IPV6, "stun", "2001:db8:1234:5678:11:2233:4455:6677", 32853, True),
        (IPV6, "stun", "2001:db8:1234:5678:11:2233:4455:6678", 32853, False),
        (IPV4[:-4], "stun", "192.0.2.1", 32853, False),
        (REFUSAL, "stun-refusal", "192.0.2.1", 1, True),
        (REFUSAL, "stun", "192.0.2.1", 1, False),
        (b"SIP/2.0 200 OK\r\n\r\n", "stun", "192.0.2.1", 1, False),
    ],
)
def test_answers(data: bytes, what: str, host: str, port: int, right: bool) -> None:
    """The right address, and nothing else, is one."""
    assert is_stun_answer(data, what, host, port) is right
