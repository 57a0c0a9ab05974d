"""Answers to challenges, by phones and by attackers: those accepted, those refused, and the reasons told.

Theory of operation: ``Phone`` writes credentials as they are on the wire, of either form (RFC 2617
and RFC 2069), and sends them from any address, over UDP or TCP.
"""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig, ha1
from sansip.auth.algorithms import HASHES, compute_response
from sansip.events import AuthenticationFailed, NonceRefused, SourceBarred
from sansip.wire import parse_uri
from sansip.wire.headers.auth import parse_challenge
from tests.rig import ALICE, CAROL, Out, Rig, request, what

WALL = 1_700_000_000.0
DOMAIN = "biloxi.test"
PASSWORDS = {"alice": "wonderland", "bob": "builder"}
MALLORY = ("198.51.100.1", 5060)


class Server(Rig):
    """A server with two users; ``enrol`` sends one REGISTER and returns its answer."""

    def __init__(self, *, route: Any = None, **options: Any) -> None:
        policy = {name: options.pop(name) for name in list(options) if hasattr(AuthConfig, name)}
        options.setdefault("wall_offset", WALL)
        super().__init__(route, auth=AuthConfig(**policy), users=self.keys, **options)
        self.sent = 0

    @staticmethod
    def keys(lookup: Any) -> dict[str, str] | None:
        password = PASSWORDS.get(lookup.username)
        if password is None:
            return None
        return {name: ha1(lookup.username, lookup.realm, password, name) for name in HASHES}

    def send(self, method: str, uri: str, line: str = "", source: Any = ALICE, conn: int = 0) -> Out:
        self.sent += 1
        field = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
        headers = [("Contact", "<sip:alice@192.0.2.1>")]
        headers += [(field, line)] if line else []
        data = request(
            method,
            uri,
            branch=f"z9hG4bK{self.sent}",
            sender=f"<sip:alice@{DOMAIN}>",
            to=f"<sip:alice@{DOMAIN}>" if method == "REGISTER" else f"<{uri}>",
            call_id=f"call-{self.sent}",
            cseq=self.sent,
            headers=headers,
        )
        outs = self.tcp(conn, data) if conn else self.udp(data, source)
        return next(out for out in outs if out.what != "100")

    def enrol(self, line: str = "", source: Any = ALICE, conn: int = 0) -> Out:
        return self.send("REGISTER", f"sip:{DOMAIN}", line, source, conn)

    def challenge(self, source: Any = ALICE, conn: int = 0) -> str:
        return self.enrol(source=source, conn=conn).message.get_all("www-authenticate")[0]


def answer(
    challenge: str,
    *,
    method: str = "REGISTER",
    uri: str = f"sip:{DOMAIN}",
    password: str = "wonderland",
    qop: str | None = "auth",
    nc: int = 1,
    quote_uri: bool = True,
) -> str:
    """Return credentials of alice's; ``qop`` None is the form of RFC 2069."""
    asked = parse_challenge(challenge, "", "")
    nonce, algorithm = asked.nonce or "", asked.algorithm or "MD5"
    count = {} if qop is None else {"qop": qop, "nc": f"{nc:08x}", "cnonce": "c"}
    response = compute_response(
        ha1("alice", asked.realm or "", password, algorithm), method, uri, nonce, algorithm=algorithm, **count
    )
    shown = f'"{uri}"' if quote_uri else uri
    end = "" if qop is None else f', qop={qop}, nc={nc:08x}, cnonce="c"'
    return (
        f'Digest username="alice", realm="{asked.realm}", nonce="{nonce}", uri={shown},'
        f' response="{response}", algorithm={algorithm}{end}'
    )


def is_stale(out: Out) -> bool:
    return out.message.typed("www-authenticate")[0].stale


# --- phones of RFC 2069


def test_without_qop() -> None:
    """RFC 3261 22.4 item 8, RFC 8760 2.6 item 8: "qop" is optional to receive. pyVoIP sends none."""
    rig = Server()
    assert rig.enrol(answer(rig.challenge(), qop=None)).what == "200"


def test_without_qop_each_nonce_is_good_once() -> None:
    """There is no count, so a recording would be as good as the first; the phone is challenged anew."""
    rig = Server()
    challenge = rig.challenge()
    line = answer(challenge, qop=None)
    assert rig.enrol(line).what == "200"
    again = rig.enrol(line, MALLORY)
    assert (again.what, is_stale(again)) == ("401", True)
    again = rig.enrol(line)
    assert (again.what, is_stale(again)) == ("401", True)
    # No qop with a count, and no count with a qop.
    assert rig.enrol(answer(challenge)).what == "401"
    challenge = rig.challenge()
    assert rig.enrol(answer(challenge)).what == "200"
    # Another nonce is another request.
    assert rig.enrol(answer(again.message.get("www-authenticate"), qop=None)).what == "200"


def test_without_qop_where_bodies_are_to_be_covered() -> None:
    """RFC 8760 2.6 item 8: without it "auth" is meant, which was not offered here."""
    rig = Server(qop=("auth-int",))
    assert rig.enrol(answer(rig.challenge(), qop=None)).what == "401"
    assert rig.events == [
        AuthenticationFailed(ALICE[0], "alice", DOMAIN, "an answer without the qop that was offered")
    ]


def test_without_qop_there_is_no_session() -> None:
    """RFC 3261 22.4 item 8: MD5-sess needs a cnonce, and that needs qop."""
    rig = Server(algorithms=("MD5-sess",))
    assert rig.enrol(answer(rig.challenge(), qop=None)).what == "401"
    assert rig.events[0].reason == "-sess without qop"


def test_no_authentication_info_for_a_client_that_knows_none() -> None:
    """RFC 3261 22.4: qop tells whether the client knows the field; without it the field is no help."""
    rig = Server(authentication_info=True)
    out = rig.enrol(answer(rig.challenge(), qop=None))
    assert (out.what, out.message.has("authentication-info")) == ("200", False)


def test_uri_without_quotes() -> None:
    """RFC 3261 22.4 item 2 says MUST, RFC 2617's grammar said otherwise; phones with either exist."""
    rig = Server()
    assert rig.enrol(answer(rig.challenge(), quote_uri=False)).what == "200"
    assert rig.enrol(answer(rig.challenge(), quote_uri=False, qop=None)).what == "200"


# --- a digest for something else


def test_the_digest_of_another_call() -> None:
    """RFC 7616 3.4.6: what alice proved for bob is no proof for a number that costs money; it is told."""
    rig = Server()
    asked = rig.send("INVITE", f"sip:bob@{DOMAIN}").message.get("proxy-authenticate")
    line = answer(asked, method="INVITE", uri=f"sip:bob@{DOMAIN}")
    out = rig.send("INVITE", f"sip:+900123@{DOMAIN}", line)
    assert (out.what, out.message.reason) == ("400", "Digest URI Is Not The Request-URI")
    assert rig.events == [
        AuthenticationFailed(
            ALICE[0], "alice", DOMAIN, "made for 'sip:bob@biloxi.test', sent to 'sip:+900123@biloxi.test'"
        )
    ]
    # It used nothing up.
    assert rig.send("INVITE", f"sip:bob@{DOMAIN}", line).what == "404"


def test_a_digest_for_the_address_of_the_server() -> None:
    """RFC 8760 2.6 item 6: pyVoIP and SIPp hash the server, whatever they call."""
    rig = Server()
    for uri in (f"sip:{DOMAIN};transport=UDP", "sip:192.0.2.10:5060"):
        asked = rig.send("INVITE", f"sip:bob@{DOMAIN}").message.get("proxy-authenticate")
        line = answer(asked, method="INVITE", uri=uri, qop=None)
        assert rig.send("INVITE", f"sip:bob@{DOMAIN}", line).what == "404"


def test_where_the_uri_is_not_compared() -> None:
    """``match_uri``: something in front rewrites the Request-URI."""
    rig = Server(match_uri=False)
    assert rig.enrol(answer(rig.challenge(), uri="sip:outside.example")).what == "200"


# --- nonces


def test_after_a_restart() -> None:
    """A recorded REGISTER is not accepted again: the process that counted it is gone. The phone goes on."""
    key = b"the key of nodes and restarts"
    before = Server(secret=key)
    line = answer(before.challenge())
    assert before.enrol(line).what == "200"
    after = Server(secret=key, seed=b"another seed, as always", now=110.0, began=WALL + 110.0)
    out = after.enrol(line)
    assert (out.what, is_stale(out)) == ("401", True)
    older = "the nonce is older than what is known of its uses"
    assert after.events == [NonceRefused(ALICE[0], "alice", DOMAIN, older, everyday=True)]
    assert after.enrol(answer(out.message.get("www-authenticate"))).what == "200"


@pytest.mark.parametrize(("believed", "status"), [(True, "200"), (False, "401")])
def test_a_nonce_of_another_node(believed: bool, status: str) -> None:
    """``other_nodes``: good at each node once, or at its own alone; then a recording is good nowhere."""
    key = b"the key of nodes and restarts"
    other = Server(secret=key)
    here = Server(secret=key, seed=b"the seed of this node", now=50.0, began=WALL, other_nodes=believed)
    here.now = other.now
    line = answer(other.challenge())
    assert other.enrol(line).what == "200"
    assert here.enrol(line).what == status
    again = here.enrol(line)
    assert (again.what, is_stale(again)) == ("401", True)


def test_a_nonce_that_was_forgotten() -> None:
    """``nonces``: an evicted nonce does not begin anew with the count 1."""
    rig = Server(nonces=2)
    recorded = answer(rig.challenge())
    assert rig.enrol(recorded).what == "200"
    for _ in range(2):
        rig.now += 0.001
        assert rig.enrol(answer(rig.challenge())).what == "200"
    out = rig.enrol(recorded, MALLORY)
    assert (out.what, is_stale(out)) == ("401", True)
    assert rig.enrol(answer(rig.challenge())).what == "200"


def test_a_nonce_of_a_stranger() -> None:
    """A stranger cannot fail in alice's name: a nonce for another address counts nothing against her."""
    rig = Server(failures_per_user=3)
    given = rig.challenge(MALLORY)
    for number in range(20):
        # The source address is forged.
        out = rig.enrol(answer(given, password="guess", nc=number + 1))
        assert (out.what, is_stale(out)) == ("401", True)
    given_elsewhere = "the nonce was given to another address"
    assert rig.events == [NonceRefused(ALICE[0], "alice", DOMAIN, given_elsewhere)] * 20
    assert rig.enrol(answer(rig.challenge())).what == "200"


def test_a_nonce_that_came_over_a_connection() -> None:
    """The nonce is bound to the address as well. Over a connection the sender is proven."""
    rig = Server()
    conn = rig.accept(MALLORY, listener=1)
    given = rig.challenge(conn=conn)
    assert rig.enrol(answer(given, password="guess")).what == "401"
    assert rig.events[-1].reason == "the nonce was given to another address"
    # A phone that changed its network registers over a new connection with the nonce it has.
    moved = rig.accept(("203.0.113.5", 5060), listener=1)
    assert rig.enrol(answer(given), conn=moved).what == "200"


def test_another_port_is_the_same_phone() -> None:
    """A NAT takes a new port now and then; it is not the port that is bound."""
    rig = Server()
    assert rig.enrol(answer(rig.challenge()), (ALICE[0], 61_000)).what == "200"


def test_where_nonces_are_not_bound() -> None:
    """``bind_nonces``: a NAT that takes another address for each packet."""
    rig = Server(bind_nonces=False)
    assert rig.enrol(answer(rig.challenge(CAROL))).what == "200"


def test_a_nonce_of_the_future() -> None:
    """A nonce made before the clock was set back is not good until the clock has caught up with it."""
    rig = Server()
    challenge = rig.challenge()
    rig.stack.wall_offset = WALL - 3600.0
    out = rig.enrol(answer(challenge))
    assert (out.what, is_stale(out)) == ("401", True)
    assert rig.enrol(answer(out.message.get("www-authenticate"))).what == "200"


# --- guessing


def test_the_log_says_until_when() -> None:
    """The failure that fills the bucket, and each request that is refused for it, say when it ends."""
    rig = Server(failures_per_user=3)
    challenge = rig.challenge()
    for number in range(3):
        assert rig.enrol(answer(challenge, password="guess", nc=number + 1)).what == "401"
    assert [one.reason for one in rig.events[:3]] == ["wrong password"] * 3
    end = WALL + rig.now + 30
    assert rig.events[3:] == [SourceBarred(ALICE[0], "alice", end, "wrong passwords for this user")]
    out = rig.enrol(answer(challenge, nc=4))
    assert (out.what, out.message.get("retry-after")) == ("403", "30")
    assert rig.events[-1] == AuthenticationFailed(
        ALICE[0], "alice", DOMAIN, "wrong passwords for this user", end
    )
    rig.now += 20
    assert rig.enrol(answer(challenge, nc=4)).message.get("retry-after") == "10"


def test_a_wrong_answer_that_is_repeated() -> None:
    """A wrong answer sent a hundred times counts once: for its phone, and for its recorder."""
    rig = Server(failures_per_user=3)
    challenge = rig.challenge()
    wrong = answer(challenge, password="guess")
    assert [rig.enrol(wrong).what for _ in range(100)] == ["401"] * 100
    assert rig.enrol(answer(challenge, nc=2)).what == "200"


def test_a_ban_is_lifted() -> None:
    """An operator lifts the ban, and from then on nothing of it is left."""
    rig = Server(failures_per_user=3)
    challenge = rig.challenge()
    for number in range(3):
        rig.enrol(answer(challenge, password="guess", nc=number + 1))
    assert rig.enrol(answer(challenge, nc=4)).what == "403"
    (ban,) = rig.stack.lift(ALICE[0], None, rig.now)
    assert (ban.user, ban.source) == ("alice", ALICE[0])
    assert rig.enrol(answer(challenge, nc=4)).what == "200"


# --- every answer that is refused is told


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        (('username="alice", ', ""), "401", "no username, nonce, uri or response"),
        (("algorithm=MD5", "algorithm=SHA-1"), "401", "algorithm 'SHA-1' was not offered"),
        (('nonce="', 'nonce="A'), "401", "the nonce is none of ours"),
        (("qop=auth", "qop=auth-conf"), "401", "qop 'auth-conf' was not offered"),
        (("nc=00000001", "nc=1"), "401", "qop without nc and cnonce"),
        (('realm="biloxi.test"', 'realm="asterisk"'), "401", "an answer for realm 'asterisk'"),
        (("Digest ", "Basic "), "401", "'Basic' is not Digest"),
        (('uri="sip:biloxi.test"', 'uri="sip:x"'), "400", "made for 'sip:x', sent to 'sip:biloxi.test'"),
        (('response="', 'response="0'), "401", "wrong password"),
        (('username="alice"', 'username="nobody"'), "401", "no such user"),
        (("realm=", "realm"), "400", "expected name=value"),
    ],
)
def test_each_refusal_has_its_reason(change: tuple[str, str], status: str, reason: str) -> None:
    """An operator sees why a phone that is set up in some way never gets in."""
    rig = Server()
    line = answer(rig.challenge()).replace(*change)
    assert rig.enrol(line).what == status
    (event,) = rig.events
    assert isinstance(event, AuthenticationFailed)
    assert (event.source, event.realm) == (ALICE[0], DOMAIN)
    assert reason in event.reason


def test_what_is_not_told() -> None:
    """Requests without an answer, and the empty one of a phone that was not challenged yet (RFC 8760 2.7)."""
    rig = Server()
    rig.enrol()
    empty = f'Digest username="alice", realm="{DOMAIN}", nonce="", uri="sip:{DOMAIN}", response=""'
    assert rig.enrol(empty).what == "401"
    assert rig.events == []


def test_what_a_stranger_wrote_is_cut() -> None:
    """Neither a name nor a URI of 10 KB gets into the log: the log cuts the text of strangers."""
    rig = Server()
    challenge = rig.challenge()
    long = "x" * 10_000
    rig.enrol(answer(challenge).replace('"alice"', f'"{long}"'))
    rig.enrol(answer(challenge).replace(f'uri="sip:{DOMAIN}"', f'uri="sip:{long}"'))
    rig.enrol(answer(challenge).replace(DOMAIN, long, 1))
    assert len(rig.events) == 3
    assert all(len(str(event)) < 500 for event in rig.events)


def test_a_store_that_is_down() -> None:
    """503, and the log names the user that was kept out."""

    def fail(_: Any) -> None:
        raise OSError("gone")

    rig = Server()
    rig.stack.users = fail
    assert rig.enrol(answer(rig.challenge())).what == "503"
    assert rig.events == [
        AuthenticationFailed(ALICE[0], "alice", DOMAIN, "the store of users does not answer")
    ]


def test_somebody_else() -> None:
    """403 for a user with the right password who registers another user: the log names both."""
    rig = Server()
    line = answer(rig.challenge())
    data = request(
        "REGISTER",
        f"sip:{DOMAIN}",
        branch="z9hG4bKother",
        sender=f"<sip:bob@{DOMAIN}>",
        to=f"<sip:bob@{DOMAIN}>",
        headers=[("Authorization", line)],
    )
    assert what(rig.udp(data)) == ["403"]
    assert rig.events == [
        AuthenticationFailed(ALICE[0], "alice", DOMAIN, "not the user of 'sip:bob@biloxi.test'")
    ]


# --- realms


@pytest.mark.parametrize(
    ("host", "realm"),
    [
        ("192.0.2.10", "192.0.2.10"),
        ("[2001:db8::10]", "2001:db8::10"),
        # RFC 5954 4.2: another spelling of it.
        ("[2001:DB8:0:0::10]", "2001:db8::10"),
        ("localhost", "localhost"),
        ("localhost.", "localhost"),
        ("elsewhere.test", "192.0.2.10"),
    ],
)
def test_without_a_domain_addresses_are_realms(host: str, realm: str) -> None:
    """A user is asked in the realm of the address that the phone was given, and is the same at each."""
    rig = Server(domains=["192.0.2.10"], aliases=["localhost"], address_realms=True)
    data = request("REGISTER", "sip:192.0.2.10", to=f"<sip:alice@{host}>", sender=f"<sip:alice@{host}>")
    (out,) = rig.udp(data)
    assert parse_challenge(out.message.get("www-authenticate"), "", "").realm == realm
    aor = rig.stack.addresses.of(parse_uri(f"sip:alice@{host}"))
    assert aor == "sip:alice@192.0.2.10"


def test_with_a_domain_addresses_mean_it() -> None:
    """Its users have one password, whatever the phone was given."""
    rig = Server()
    data = request("REGISTER", "sip:192.0.2.10", to="<sip:alice@192.0.2.10>")
    (out,) = rig.udp(data)
    assert parse_challenge(out.message.get("www-authenticate"), "", "").realm == DOMAIN


# --- what leaves for what comes in


@pytest.mark.parametrize(("method", "most"), [("REGISTER", 2.5), ("INVITE", 2.5), ("OPTIONS", 2.5)])
def test_a_challenge_is_no_amplifier(method: str, most: float) -> None:
    """A forged address gets one datagram for each request, however short, and none again by itself."""
    rig = Server(algorithms=("MD5",), server_name="sansip")
    shortest = (
        f"{method} sip:{DOMAIN} SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK1\r\nf:<sip:a@{DOMAIN}>;tag=1\r\n"
        f"t:<sip:a@{DOMAIN}>\r\ni:1\r\nCSeq:1 {method}\r\nMax-Forwards:9\r\n\r\n"
    ).encode()
    phones = request(
        method, f"sip:{DOMAIN}", sender=f"<sip:alice@{DOMAIN}>", headers=[("Allow", "INVITE, " * 9)]
    )
    for data, factor in ((shortest, most), (phones, 1.4)):
        for _ in range(3):
            (out,) = rig.udp(data, ("192.0.2.99", 5060))
            assert out.what in ("401", "407")
            assert len(out.data) < factor * len(data), (len(out.data), len(data))
    assert rig.wait(100.0) == []
