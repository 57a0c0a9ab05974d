"""Commands of the ng protocol: written by forms, read in brief, the same as by the long way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.modules.media import bencode
from sansip.modules.media.names import Names, Options
from sansip.modules.media.ng import described
from sansip.modules.media.octets import plain_reply as quick_reply

NAMES = st.text("ab%\udc80é :", max_size=6)


@given(NAMES, NAMES, NAMES, NAMES, st.binary(max_size=30))
def test_described(call: str, label: str, offerer: str, answerer: str, sdp: bytes) -> None:
    """A form is the dictionary's octets, whatever is in names and options; also when it is used again."""
    options = Options({"ICE": "remove", "a%d": ["%b"], "endpoint-learning": "immediate"}, ("x%",), "IP6")
    for _ in range(2):
        read = bencode.read(described("offer", Names(call, label, offerer, answerer), sdp, options))
        wanted = {
            "command": b"offer",
            "call-id": call.encode("utf-8", "surrogateescape"),
            "from-tag": offerer.encode("utf-8", "surrogateescape"),
            "sdp": sdp,
            "replace": [b"origin", b"session-connection"],
            "supports": [b"load limit"],
            "ICE": b"remove",
            "a%d": [b"%b"],
            "endpoint-learning": b"immediate",
            "flags": [b"x%"],
            "address-family": b"IP6",
        }
        if answerer:
            wanted["to-tag"] = answerer.encode("utf-8", "surrogateescape")
        if label:
            wanted["via-branch"] = label.encode("utf-8", "surrogateescape")
        assert read == wanted


def test_own_keys() -> None:
    """Keys of a route never take the place of a call's name or description."""
    options = Options({"call-id": "another", "sdp": "x", "to-tag": "y"})
    read = bencode.read(described("answer", Names("c", "", "a", "b"), b"v=0", options))
    assert (read["call-id"], read["sdp"], read["to-tag"]) == (b"c", b"v=0", b"b")


@given(st.binary(max_size=40))
def test_quick_reply(sdp: bytes) -> None:
    """The usual reply, and nothing else, is read in brief."""
    plain = {"sdp": sdp, "result": "ok"}
    usual = b"c_1 d3:sdp%d:%b6:result2:oke" % (len(sdp), sdp)
    assert quick_reply(usual) == (sdp or None)
    assert quick_reply(b"c_1 " + bencode.write(plain)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"c d3:sdp3:abc6:result2:ok",
        b"c d3:sdp3:abc6:result2:okee",
        b"c d3:sdp4:abc6:result2:oke",
        b"c d3:sdp03:abc6:result2:oke",
        b"c d3:sdp3:abc6:result5:errore",
        b"c d3:sdp3:abc3:sdp3:abd6:result2:oke",
        b"c x d3:sdp3:abc6:result2:oke",
        b"c d3:sdp999999:abc6:result2:oke",
    ],
)
def test_other_replies(data: bytes) -> None:
    """A length that lies, a word too many: the long way judges it."""
    assert quick_reply(data) is None
