"""Session timers in octets: the rule in Python, and the one in C, which returns the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sansip.wire.timed import timed_plainly

TEXTS = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\r\n",
            b" ",
            b"\t",
            b":",
            b"\0",
            b"x",
            b"X",
            b"Session-Expires",
            b"sESSION-eXPIRES",
            b"Min-SE",
            b"Min-S",
        ]
    ),
    max_size=8,
).map(b"".join)


@given(data=st.one_of(TEXTS, st.binary(max_size=20)))
@example(data=b"\n")
@example(data=b"\nx")
@example(data=b"\nmin-se \t")
@example(data=b"x: 90")
def test_both_say_the_same(scanner: Any, data: bytes) -> None:
    """Any octets at all."""
    assert scanner.timed(data) is timed_plainly(data)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"Session-Expires: 1800", True),
        (b"session-EXPIRES\t : 1800", True),
        (b"Min-SE:90", True),
        (b"x: 1800;refresher=uac", True),
        (b"X-Trace: x: 1", False),
        (b"Subject: Min-SE: 90", False),
    ],
)
def test_fields(scanner: Any, line: bytes, expected: bool) -> None:
    """RFC 4028 4, 5: both fields, and the compact form of the first one."""
    data = b"INVITE sip:a@b SIP/2.0\r\n" + line + b"\r\n\r\n"
    assert scanner.timed(data) is timed_plainly(data) is expected


def test_only_octets(scanner: Any) -> None:
    """A caller's mistake is an exception, not a crash."""
    with pytest.raises(TypeError):
        scanner.timed("x")
