"""Any REGISTER gets an answer, and the answer is a message.

The contract: no input raises out of the registrar, and nothing a phone wrote
into one field of a request can add a field to a response.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sansip.errors import RemoteProtocolError
from sansip.location import Source
from sansip.wire import Request, Response, Star, parse_message, response_to

from .conftest import Site

PIECES = [
    *(
        "<",
        ">",
        ";",
        ",",
        '"',
        "\\",
        "?",
        "=",
        "@",
        ":",
        "%",
        "%00",
        "%0d%0a",
        "*",
        " ",
        "\t",
        "\r\n ",
        "\r",
        "\n",
    ),
    *(
        "sip:",
        "sips:",
        "tel:",
        "mailto:",
        "alice",
        "192.0.2.1",
        "[::1]",
        "5060",
        "99999",
        "\udcff",
        "é",
        "\0",
    ),
    *("expires=", "q=", "0.5", "60", "0", "+sip.instance=", "reg-id=1", "lr", "urn:uuid:1", "transport=tcp"),
    *("<sip:alice@192.0.2.1>", "<sip:alice@192.0.2.1>;expires=0", "<sip:bob@192.0.2.2>;q=0.1"),
]
text = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
# Half of it begins well, or hardly anything would get beyond the parser.
contact = st.builds(
    "{}{}".format,
    st.sampled_from(["", "<sip:alice@192.0.2.1>", "<sip:carol@192.0.2.3:5070;x=y>;", "<tel:+1-2>;q=0.1"]),
    text | st.sampled_from(["", ";a=b", ";expires=60", ";expires=0", ";q=1", ", <sip:bob@192.0.2.2>"]),
)
field = (
    st.tuples(st.sampled_from(["Contact", "m"]), contact)
    | st.tuples(st.just("Expires"), st.sampled_from(["0", "60", "5", "x", "9999999999"]) | text)
    | st.tuples(st.just("Path"), st.sampled_from(["<sip:p.example;lr>", "<sips:p>, <sip:q>"]) | text)
    | st.tuples(st.just("Supported"), st.just("path") | text)
    | st.tuples(st.sampled_from(["Require", "User-Agent", "To", "Call-ID", "CSeq"]), text)
)


@given(st.lists(st.lists(field, max_size=4), min_size=1, max_size=3))
@example([[("Contact", '<sip:a@b>;x="\r\n y"')]])
@example([[("Contact", "<sip:a@b>"), ("Path", "<sip:p>"), ("Supported", "path")]])
def test_every_register_that_parses_gets_an_answer_that_parses(requests):
    """Each 200 lists exactly the present bindings."""
    site = Site()
    site.send("<sip:alice@192.0.2.1>", "<sip:bob@192.0.2.2>", cseq=1)
    for number, fields in enumerate(requests, 2):
        site.now += 30
        given_names = {name for name, _ in fields}
        lines = [
            "REGISTER sip:example.com SIP/2.0",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx",
            "From: <sip:alice@example.com>;tag=1",
            *(["To: <sip:alice@example.com>"] if "To" not in given_names else []),
            *(["Call-ID: a84b4c76e66710"] if "Call-ID" not in given_names else []),
            *([f"CSeq: {number} REGISTER"] if "CSeq" not in given_names else []),
            *(f"{name}: {value}" for name, value in fields),
            "Content-Length: 0\r\n\r\n",
        ]
        try:
            request = parse_message("\r\n".join(lines).encode("utf-8", "surrogateescape"))
        except RemoteProtocolError:
            continue
        assert isinstance(request, Request)
        before = site.location.snapshot()

        reply = site.answer(request, received=Source("udp", "192.0.2.1", 5060), wall_offset=1e9)

        response = response_to(request, reply.status, reply.reason, to_tag="t", headers=reply.headers)
        parsed = parse_message(response.to_bytes())
        assert isinstance(parsed, Response)
        assert parsed.status == reply.status
        if reply.status == 200:
            aor = site.registrar.address_of_record(request)
            contacts = parsed.contacts
            assert not isinstance(contacts, Star)
            assert [str(c.uri) for c in contacts] == site.contacts(aor)
        else:
            assert site.location.snapshot() == before
