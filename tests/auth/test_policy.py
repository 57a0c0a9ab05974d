"""The settings of authentication: realms, quality, mutual proof, hidden names, time limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sansip.auth import AuthConfig, Ephemeral, Lookup, ha1
from sansip.auth.algorithms import HASHES, compute_response, username_hash
from sansip.wire.abnf import quote
from sansip.wire.headers.auth import parse_auth_info, parse_challenge
from tests.rig import ALICE, Out, Rig, only, request

WALL = 1_700_000_000.0


def keys(user: str = "alice", realm: str = "biloxi.test", password: str = "wonderland") -> dict[str, str]:
    return {name: ha1(user, realm, password, name) for name in HASHES}


class Registrar(Rig):
    """A server with a few users, and how a phone registers there."""

    def __init__(self, users: dict[tuple[str, str], dict[str, str]] | None = None, **options: Any) -> None:
        policy = {name: options.pop(name) for name in list(options) if hasattr(AuthConfig, name)}
        policy.setdefault("algorithms", ("MD5", "SHA-256"))
        self.users = {("alice", "biloxi.test"): keys()} if users is None else users
        self.lookups: list[Lookup] = []
        super().__init__(auth=AuthConfig(**policy), users=self.lookup, wall_offset=WALL, **options)
        self.count = 0

    def lookup(self, one: Lookup) -> dict[str, str] | None:
        self.lookups.append(one)
        return self.users.get((one.username, one.realm))

    def send(self, *headers: str, aor: str = "sip:alice@biloxi.test", **options: Any) -> Out:
        """One REGISTER; its answer."""
        self.count += 1
        given = [("Authorization", value) for value in headers]
        given.append(("Contact", "<sip:alice@192.0.2.1>"))
        data = request(
            options.pop("method", "REGISTER"),
            "sip:biloxi.test",
            branch=f"z9hG4bK{self.count}",
            sender=f"<{options.pop('sender', aor)}>",
            to=f"<{aor}>",
            cseq=self.count,
            headers=given,
            **options,
        )
        (out,) = self.udp(data)
        return out

    def challenge(self, **options: Any) -> list[str]:
        return list(self.send(**options).message.get_all("www-authenticate"))


def answer(
    challenge: str,
    user: str = "alice",
    password: str = "wonderland",
    *,
    body: bytes = b"",
    qop: str = "auth",
    shown: str | None = None,
    nc: int = 1,
) -> str:
    """Credentials that answer ``challenge``; ``shown`` replaces the parameter username."""
    asked = parse_challenge(challenge, "", "")
    realm, nonce, algorithm = asked.realm or "", asked.nonce or "", asked.algorithm or "MD5"
    response = compute_response(
        ha1(user, realm, password, algorithm),
        "REGISTER",
        "sip:biloxi.test",
        nonce,
        algorithm=algorithm,
        qop=qop,
        nc=f"{nc:08x}",
        cnonce="c",
        body=body,
    )
    name = f"username={quote(user)}" if shown is None else shown
    return (
        f'Digest {name}, realm={quote(realm)}, nonce={quote(nonce)}, uri="sip:biloxi.test",'
        f' response="{response}", algorithm={algorithm}, qop={qop}, nc={nc:08x}, cnonce="c"'
    )


def test_a_realm_with_another_name() -> None:
    """Users who came from Asterisk keep their HA1; other domains keep theirs."""
    rig = Registrar(
        {("alice", 'as te"risk'): keys("alice", 'as te"risk')},
        realms=('Biloxi.test as te"risk',),
        domains=["biloxi.test", "chicago.test"],
    )
    (challenge, _) = rig.challenge()
    assert parse_challenge(challenge, "", "").realm == 'as te"risk'
    assert rig.send(answer(challenge)).what == "200"
    (challenge, _) = rig.challenge(aor="sip:alice@chicago.test")
    assert parse_challenge(challenge, "", "").realm == "chicago.test"


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256"])
@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_algorithms_and_qualities(algorithm: str, qop: str) -> None:
    """RFC 7616 3.3: each algorithm with each quality; the body cannot be changed under auth-int."""
    rig = Registrar(algorithms=(algorithm,), qop=("auth", "auth-int"))
    (challenge,) = rig.challenge()
    assert parse_challenge(challenge, "", "").qop == ["auth", "auth-int"]
    assert rig.send(answer(challenge, qop=qop, body=b"x"), body=b"x").what == "200"
    changed = rig.send(answer(challenge, qop=qop, body=b"x", nc=2), body=b"y")
    assert changed.what == ("401" if qop == "auth-int" else "200")


def test_a_quality_that_was_not_offered() -> None:
    rig = Registrar()
    assert rig.send(answer(rig.challenge()[0], qop="auth-int")).what == "401"


def test_authentication_info() -> None:
    """RFC 7616 3.5: the 200 proves that we know the password, and renews an old nonce."""
    rig = Registrar(authentication_info=True)
    challenge = rig.challenge()[1]
    ok = rig.send(answer(challenge))
    info = parse_auth_info(ok.message.get("authentication-info") or "", "", "")
    nonce = parse_challenge(challenge, "", "").nonce or ""
    key = keys()["SHA-256"]
    proof = compute_response(
        key, "", "sip:biloxi.test", nonce, algorithm="SHA-256", qop="auth", nc="00000001", cnonce="c"
    )
    assert info == {"qop": "auth", "rspauth": proof, "cnonce": "c", "nc": "00000001"}
    rig.now += 200
    ok = rig.send(answer(challenge, nc=2))
    following = parse_auth_info(ok.message.get("authentication-info") or "", "", "")["nextnonce"]
    rig.now += 200
    assert rig.send(answer(challenge.replace(nonce, following))).what == "200"


def test_no_authentication_info_unless_wanted() -> None:
    rig = Registrar()
    assert not rig.send(answer(rig.challenge()[0])).message.has("authentication-info")


def test_a_hidden_name() -> None:
    """RFC 7616 3.4.4: offered where configured, found where it is the user of To."""
    rig = Registrar(userhash=True)
    challenge = rig.challenge()[1]
    assert parse_challenge(challenge, "", "").params["userhash"] == "true"
    hidden = username_hash("alice", "biloxi.test", "SHA-256")
    assert rig.send(answer(challenge, shown=f'username="{hidden}", userhash=true')).what == "200"
    other = username_hash("bob", "biloxi.test", "SHA-256")
    assert rig.send(answer(challenge, shown=f'username="{other}", userhash=true', nc=2)).what == "401"


def test_a_name_beyond_ascii() -> None:
    """RFC 7616 3.4: username* says in which charset; a quoted string in UTF-8 is the same name."""
    rig = Registrar({("Jäsøn Doe", "biloxi.test"): keys("Jäsøn Doe")})
    challenge = rig.challenge()[0]
    extended = "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe"
    # Authenticated, and no user of that address: RFC 3261 10.3 step 4.
    assert rig.send(answer(challenge, "Jäsøn Doe", shown=extended)).what == "403"
    assert rig.send(answer(challenge, "Jäsøn Doe", nc=2)).what == "403"
    aor = "sip:J%C3%A4s%C3%B8n%20Doe@biloxi.test"
    assert rig.send(answer(challenge, "Jäsøn Doe", shown=extended, nc=3), aor=aor).what == "200"


def test_the_whole_address_as_name() -> None:
    """HA1B: phones that send user@domain have a key of their own."""
    rig = Registrar({("alice@biloxi.test", "biloxi.test"): keys("alice@biloxi.test")})
    assert rig.send(answer(rig.challenge()[0], "alice@biloxi.test")).what == "200"
    rig = Registrar({("alice@chicago.test", "biloxi.test"): keys("alice@chicago.test")})
    assert rig.send(answer(rig.challenge()[0], "alice@chicago.test")).what == "403"


def test_a_third_party_registers() -> None:
    """RFC 3261 10.2, 10.3 step 4: the user in From has to know the password of the user that he registers."""
    rig = Registrar()
    secretary = "sip:secretary@biloxi.test"
    assert rig.send(answer(rig.challenge(sender=secretary)[0]), sender=secretary).what == "200"
    rig = Registrar({("secretary", "biloxi.test"): keys("secretary")})
    asked = rig.challenge(sender=secretary)[0]
    assert rig.send(answer(asked, "secretary"), sender=secretary).what == "403"


def test_two_servers_in_one_realm() -> None:
    """22.3: the phone answers both; ours is known by its nonce, and the other one is passed on."""
    rig = Registrar()
    ours = rig.challenge()[0]
    theirs = 'Digest username="alice", realm="biloxi.test", nonce="theirs", uri="sip:x", response="00"'
    assert rig.send(theirs, answer(ours)).what == "200"


# --- users with a time limit


def test_a_time_limit() -> None:
    """Any user of the web application, until the time is over; then the browser is told so."""
    secret = b"sixteen octets.."
    rig = Registrar({}, ephemeral=Ephemeral([secret]))
    expiry = int(WALL + rig.now) + 60
    name, password = Ephemeral([secret]).make("alice", expiry, "SHA-256")
    challenge = rig.challenge()[1]
    assert rig.send(answer(challenge, name, password)).what == "200"
    assert rig.lookups == []
    assert rig.send(answer(challenge, name, "guess", nc=2)).what == "401"
    # Somebody else's address.
    assert rig.send(answer(challenge, name, password, nc=3), aor="sip:bob@biloxi.test").what == "403"
    rig.now += 61
    out = rig.send(answer(challenge, name, password, nc=4))
    assert (out.what, out.message.reason) == ("403", "Credentials Expired")
    # A longer limit needs another password.
    longer = f"{expiry + 1000}:alice"
    assert rig.send(answer(challenge, longer, password, nc=5)).what == "401"


def test_without_secrets_it_is_a_name_like_any_other() -> None:
    rig = Registrar({("1800000000:alice", "biloxi.test"): keys("1800000000:alice")})
    assert rig.send(answer(rig.challenge()[0], "1800000000:alice")).what == "403"


# --- equal work, hostile input


@pytest.mark.parametrize("algorithm", [0, 1])
def test_equal_work_for_unknown_users(algorithm: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look-up and the same hashes over as many octets, whether the user exists or not."""
    rig = Registrar()
    hashed: list[int] = []
    compute = compute_response

    def counted(key: str, *arguments: Any, **options: Any) -> str:
        hashed.append(len(key))
        return compute(key, *arguments, **options)

    monkeypatch.setattr("sansip.auth.authenticator.compute_response", counted)
    seen = []
    for user in ("alice", "nobody"):
        rig.lookups.clear()
        hashed.clear()
        challenge = rig.challenge(aor=f"sip:{user}@biloxi.test")[algorithm]
        out = rig.send(answer(challenge, user, "guess"), aor=f"sip:{user}@biloxi.test")
        assert out.what == "401"
        seen.append((len(rig.lookups), list(hashed), list(out.message.keys)))
    assert seen[0] == seen[1]


def test_a_name_without_end() -> None:
    """``username_size``: not looked up, not kept."""
    rig = Registrar()
    out = rig.send(answer(rig.challenge()[0], "a" * 10_000, "x"))
    assert (out.what, rig.lookups) == ("401", [])


@pytest.mark.parametrize(
    "name", ["' OR 1=1 --", 'al"ice', "al\\ice", "alice\t", "%00alice", "\x7f", "ä" * 100]
)
def test_names_are_data(name: str) -> None:
    """The text in a quoted string is looked up as it is, and found nowhere."""
    rig = Registrar()
    assert rig.send(answer(rig.challenge()[0], name, "x")).what == "401"
    assert [one.username for one in rig.lookups] == [name]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)
TOKENS = st.sampled_from(
    [
        "Digest",
        "Basic",
        "realm",
        "nonce",
        "username",
        "username*",
        "uri",
        "response",
        "qop",
        "nc",
        "cnonce",
        "algorithm",
        "userhash",
        "opaque",
        "auth",
        "=",
        ",",
        '"',
        "\\",
        "\t",
        "biloxi.test",
        "UTF-8''%",
        "%zz",
        "00000001",
        "MD5",
        "SHA-256-sess",
        "true",
        "\x00",
        "'",
        ";",
        "é",
        "�",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(TEXT, st.lists(TOKENS, max_size=40).map("".join)), st.booleans())
def test_any_authorization(value: str, userhash: bool) -> None:
    """400 or a challenge, whatever stands there (RFC 3261 21.4.1, 22.2); the user is told nothing else."""
    rig = Registrar(userhash=userhash, ephemeral=Ephemeral([b"s" * 16]))
    out = rig.send(value)
    assert out.what in ("400", "401")
    assert all(type(one).__name__ in ("MessageRefused", "AuthenticationFailed") for one in rig.events)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["username", "nonce", "uri", "response", "nc", "cnonce", "qop", "algorithm", "realm"]),
    st.one_of(TEXT.map(quote), st.just('""'), st.just("x"), st.none()),
)
def test_right_credentials_with_one_thing_wrong(name: str, value: str | None) -> None:
    """Each parameter spoilt or left out: 400 or a challenge."""
    rig = Registrar()
    right = answer(rig.challenge()[1])
    scheme, _, rest = right.partition(" ")
    params = {**parse_auth_info(rest, "", "")}
    # Quotes and case do not make every value another one.
    assume(value is None or value.strip('"').lower() != params[name].lower())
    pairs = [
        f"{key}={text if key in ('nc', 'qop', 'algorithm') else quote(text)}"
        for key, text in params.items()
        if key != name
    ]
    pairs += [] if value is None else [f"{name}={value}"]
    assert rig.send(f"{scheme} {', '.join(pairs)}").what in ("400", "401")


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        ({"algorithms": ("SHA-3",)}, "unknown digest algorithm"),
        ({"algorithms": ()}, "at least one"),
        ({"qop": ()}, "at least one"),
        ({"qop": ("auth-conf",)}, "unknown qop"),
        ({"realms": ("biloxi.test",)}, "domain realm"),
    ],
)
def test_policies_that_cannot_work(policy: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        AuthConfig(**policy)


def test_a_caller_is_asked_before_he_is_relayed() -> None:
    """22.3: 407 for a request that goes beyond the server itself."""
    rig = Registrar()
    assert only(rig.udp(request()), "407").to == ALICE
