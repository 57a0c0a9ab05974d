"""What media reads in octets: the rules in Python, and the module in C, which returns the same."""

from __future__ import annotations

import shutil
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sansip
from sansip.modules.media import octets
from tests.missing import missing
from tests.sanitized import run_sanitized

ROOT = Path(sansip.__file__).parents[1]
HEAD = b"INVITE sip:a@b SIP/2.0\r\n"
WORDS = st.sampled_from(
    [
        *(b"\r\n", b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"x", b"\xff", b"\r\n\r\n"),
        *(b"Content-Type: application/sdp", b"content-length: ", b"Content-Length:  ", b"Content-X: y"),
        *(b"0", b"12", b"3", b"c: x", b"l:", b"Call-ID: x", b"Record-Route: <sip:x>", b"record-route :"),
        *(b"RECORD-ROUTE:", b"Record-Route:", b"v=0\r\n", b"m=audio 4000 RTP/AVP 0\r\n", b"m=", b"c="),
        *(b"m=video 70000 RTP/AVP 8", b"m=audio 0 RTP/AVP 0\n", b"c=IN IP4 1.2.3.4\r\n", b"c=IN IP6 ::1"),
        *(b"a=fingerprint", b"a=crypto:1", b"a=x\r\n", b"c d3:sdp", b"3:", b"9:", b"6:result2:oke"),
    ]
)
TEXTS = st.lists(WORDS, max_size=12).map(b"".join)


def whole(lines: list[bytes], body: bytes) -> bytes:
    """A message with a length that is right."""
    typed = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n" % len(body)
    return HEAD + b"".join(lines) + b"\r\n" + typed + b"\r\n" + body


DATA = st.one_of(
    st.binary(max_size=40),
    TEXTS,
    TEXTS.map(lambda text: HEAD + text),
    TEXTS.map(lambda text: b"v=0\r\n" + text),
    st.builds(whole, st.lists(WORDS, max_size=4), TEXTS),
    TEXTS.map(lambda text: b"c d3:sdp%d:%b6:result2:oke" % (len(text), text)),
)


@pytest.fixture(scope="session")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module in C: the installed one, or made here, with every warning an error."""
    if octets.HAS_OCTETS:
        return octets._MODULE
    if shutil.which("cc") is None:
        missing("no C compiler")
    from hatch_build import compile_octets

    strict = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers")
    path = compile_octets(ROOT, tmp_path_factory.mktemp("octets"), *strict)
    loader = ExtensionFileLoader("sansip.modules.media._octets", str(path))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@given(data=DATA, other=DATA, most=st.sampled_from([1, 3, 5, 100]))
@example(data=b"", other=b"", most=1)
@example(data=whole([], b"v=0"), other=b"", most=9)
@example(data=whole([b"Record-Route : <sip:x>\r\n", b"Record-Route: y"], b"v"), other=b"", most=9)
@example(data=b"v=0\r\nm=audio 1 x 0\r\nc=IN IP4 h", other=b"", most=9)
@example(data=b"v=0\r\nm=audio 1 x 0\r\nc=IN IP4 h\r\n", other=b"\nm=audio 9", most=4)
def test_both_say_the_same(in_c: Any, data: bytes, other: bytes, most: int) -> None:
    """Any octets at all: a peer, or a relay, may send them."""
    assert in_c.place(data) == octets.plain_place(data)
    assert in_c.record_routes(data) == octets.plain_record_routes(data)
    assert in_c.family(data, most) == octets.plain_family(data, most)
    assert in_c.same_media(data, other) == octets.plain_same_media(data, other)
    assert in_c.same_media(data, data) is octets.plain_same_media(data, data) is True
    assert in_c.reply(data) == octets.plain_reply(data)
    assert in_c.made(data, other) == octets.plain_made(data, other)
    for lines in (0, most):
        assert in_c.read(data, lines) == octets.plain_read(data, lines)
    _, _, begin, stop, body = octets.plain_read(data, 0)
    if begin >= 0:
        assert in_c.replaced(data, begin, stop, body, other) == octets.plain_replaced(
            data, begin, stop, body, other
        )


@given(values=st.lists(st.one_of(st.text(max_size=12), st.binary(max_size=120)), min_size=1, max_size=8))
def test_both_write_the_same(in_c: Any, values: list[Any]) -> None:
    """A Call-ID and a tag are any text, a description any octets."""
    parts = tuple(b"%d" % at for at in range(len(values) + 1))
    for text in ("\udc80", "é", "x" * 1_000):
        values[0] = text if isinstance(values[0], str) else values[0]
        try:
            wanted = octets.plain_spliced(parts, *values)
        except UnicodeEncodeError:
            with pytest.raises(UnicodeEncodeError):
                in_c.spliced(parts, *values)
        else:
            assert in_c.spliced(parts, *values) == wanted


COOKIES = st.lists(
    st.sampled_from([b"abc", b"_", b"1", b"0", b"99999999", b" ", b"\n", b" d"]), max_size=5
).map(b"".join)


@given(data=COOKIES, prefix=st.sampled_from([b"", b"abc", b"abcabc"]), number=st.integers(0, 2**62))
@example(data=b"abc_1", prefix=b"abc", number=0)
@example(data=b"abc_1\n", prefix=b"abc", number=0)
# More than 32 bits hold.
@example(data=b"abc_999999999999999 d", prefix=b"abc", number=2**62)
def test_both_know_a_cookie(in_c: Any, data: bytes, prefix: bytes, number: int) -> None:
    """Only the exact octets of a cookie of ours are one; anybody may send any."""
    assert in_c.number_of(data, prefix) == octets.plain_number_of(data, prefix)
    written = in_c.numbered(prefix, number, data)
    assert written == octets.plain_numbered(prefix, number, data)
    known = in_c.number_of(written, prefix)
    assert known == octets.plain_number_of(written, prefix)
    assert known == (number if 0 < number < 10**15 else -1)


@pytest.fixture(params=["Python", "C"])
def one(request: pytest.FixtureRequest) -> Any:
    """The functions by their names, of either."""
    if request.param == "C":
        return request.getfixturevalue("in_c")

    class Plain:
        place = staticmethod(octets.plain_place)
        record_routes = staticmethod(octets.plain_record_routes)
        family = staticmethod(octets.plain_family)
        same_media = staticmethod(octets.plain_same_media)
        reply = staticmethod(octets.plain_reply)
        read = staticmethod(octets.plain_read)
        made = staticmethod(octets.plain_made)
        replaced = staticmethod(octets.plain_replaced)
        spliced = staticmethod(octets.plain_spliced)
        number_of = staticmethod(octets.plain_number_of)

    return Plain


def test_the_usual(one: Any) -> None:
    """What nearly all send is found."""
    data = whole([b"Record-Route: <sip:a>\r\nVia: x\r\nRecord-Route: <sip:b>"], b"v=0\r\n")
    begin, stop, body = one.place(data)
    assert (data[begin:stop], data[body:]) == (b"5", b"v=0\r\n")
    assert one.record_routes(data) == "Record-Route: <sip:a>\r\nVia: x\r\nRecord-Route: <sip:b>"
    sdp = b"v=0\r\nc=IN IP6 ::1\r\nm=audio 4 RTP/AVP 0\r\n"
    assert one.family(sdp, 9) == 6
    assert one.same_media(sdp, sdp.replace(b" 4 ", b" 50000 "))
    assert not one.same_media(sdp, sdp.replace(b"audio", b"video"))
    assert not one.same_media(sdp, sdp + b"m=audio 4 RTP/AVP 0\r\n")
    assert one.reply(b"c_1 d3:sdp3:v=06:result2:oke") == b"v=0"
    assert one.made(b"c_1 d3:sdp3:v=06:result2:oke", b"v=0\r\n") == b"v=0"
    assert one.made(b"c_1 d3:sdp3:v=06:result2:oke", b"v=0\r\nm=audio 1") is None
    assert one.read(data, 9) == (
        "Record-Route: <sip:a>\r\nVia: x\r\nRecord-Route: <sip:b>",
        0,
        begin,
        stop,
        body,
    )
    assert one.read(whole([b"Via: x"], sdp), 9)[1] == 6
    assert one.read(HEAD + b"\r\nx", 9) == ("", 0, -1, -1, len(HEAD) + 2)
    longer = one.replaced(data, begin, stop, body, b"v=0\r\ns=-\r\n")
    assert one.place(longer)[2] == body + 1
    assert longer.endswith(b"Content-Length: 10\r\n\r\nv=0\r\ns=-\r\n")
    assert one.spliced((b"d3:sdp", b"3:tag", b"e"), b"v=0", "é") == b"d3:sdp3:v=03:tag2:\xc3\xa9e"
    assert [one.number_of(text, b"ab") for text in (b"ab_12 d", b"ab_12", b"ab_012 d", b"ac_1 d")] == [
        12,
        12,
        -1,
        -1,
    ]


@pytest.mark.parametrize(
    "sdp",
    [
        b"v=0\r\nc=IN IP4 h\r\nm=audio 0 RTP/AVP 0\r\n",
        b"v=0\r\nc=IN IP4 h\r\nm=audio 65536 RTP/AVP 0\r\n",
        b"v=0\r\nc=IN IP4 h\r\nm=audio 4 RTP/AVP 0\r\na=crypto:1\r\n",
        b"v=0\r\nc=IN IP4 h\r\nc=IN IP4 h\r\nm=audio 4 RTP/AVP 0\r\n",
        b"v=0\nc=IN IP4 h\r\nm=audio 4 RTP/AVP 0\r\n",
        b"v=0\r\nc=IN IP4 h\r\nm=audio 4 RTP/AVP 0\0\r\n",
        b"v=0\r\nc=IN IP5 h\r\nm=audio 4 RTP/AVP 0\r\n",
    ],
)
def test_descriptions_that_are_taken_apart(one: Any, sdp: bytes) -> None:
    """A refused medium, a lie, SDES, two places: the long way judges them."""
    assert one.family(sdp, 9) == 0


def test_only_octets(in_c: Any) -> None:
    """A caller's mistake is an exception, not a crash."""
    for call in (in_c.place, in_c.record_routes, in_c.reply):
        with pytest.raises(TypeError):
            call("text")
    for call in (in_c.family, in_c.same_media, in_c.read, in_c.made, in_c.number_of):
        with pytest.raises(TypeError):
            call("text", "text")
        with pytest.raises(TypeError):
            call(b"one")
    for arguments in ((b"", 0, 0, 1, b""), (b"abc", 2, 1, 3, b""), (b"abc", -2, 1, 3, b"")):
        with pytest.raises(ValueError, match="no places"):
            in_c.replaced(*arguments)
    for wrong in ((b"x",), ((b"x",), b"y"), ((b"x", b"y"), 1), (("x", b"y"), b"z")):
        with pytest.raises(TypeError):
            in_c.spliced(*wrong)
    with pytest.raises(ValueError, match="below"):
        in_c.numbered(b"", -1, b"")


SANITIZED = """
import random, sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader

loader = ExtensionFileLoader("sansip.modules.media._octets", sys.argv[1])
octets = module_from_spec(spec_from_loader(loader.name, loader))
loader.exec_module(octets)
chance, yes = random.Random(1), 0
whole = (
    b"INVITE sip:a@b SIP/2.0\\r\\nRecord-Route: <sip:a;b=c>\\r\\nContent-Type: application/sdp\\r\\n"
    b"Content-Length: 61\\r\\n\\r\\nv=0\\r\\nc=IN IP4 192.0.2.1\\r\\nm=audio 4000 RTP/AVP 0 8\\r\\n0123456789"
)
sdp = whole.partition(b"\\r\\n\\r\\n")[2]
reply = b"c d3:sdp%d:%b6:result2:oke" % (len(sdp), sdp)
assert octets.place(whole) and octets.record_routes(whole)
assert octets.family(sdp, 9) and octets.reply(reply) == sdp
for _ in range(4_000):
    for text in (whole, sdp, reply):
        data = bytearray(text)
        for _ in range(chance.randrange(3)):
            data[chance.randrange(len(data))] = chance.choice(b"\\r\\n :=mcrR0\\0")
        data = bytes(data[: chance.randrange(len(data) + 1)])
        octets.place(data), octets.record_routes(data), octets.same_media(data, sdp)
        octets.made(data, sdp), octets.number_of(data, data[:3]), octets.numbered(data, len(data), data)
        octets.spliced((data, b"", data), data, data.decode("latin-1"))
        _, _, begin, stop, body = octets.read(data, 9)
        if begin >= 0:
            octets.replaced(data, begin, stop, body, data)
        yes += bool(octets.family(data, 9)) + (octets.reply(data) is not None)
assert yes > 10
print("sanitized")
"""


@pytest.mark.timeout(300)
def test_under_sanitizers(tmp_path: Path) -> None:
    """Octets of strangers: ASan and UBSan see a read behind them (as in ``tests/wire/test_head.py``)."""
    from hatch_build import compile_octets

    run_sanitized(compile_octets, tmp_path, SANITIZED)
