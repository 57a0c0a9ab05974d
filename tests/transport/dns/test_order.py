"""The order of servers: SRV priorities and weights, NAPTR orders and preferences."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sansip.entropy import Entropy
from sansip.transport.dns import Naptr, Srv
from sansip.transport.dns.order import Service, sip_services, sort_srv

ALL = ("udp", "tcp", "tls", "sctp", "ws", "wss")


def first_choices(records: list[Srv], draws: int = 3_000) -> Counter[str]:
    entropy = Entropy(b"seed for weights")
    return Counter(sort_srv(records, entropy.number)[0].target for _ in range(draws))


def test_weights_share_the_load() -> None:
    """RFC 2782: in proportion to the weight. 3,000 draws of 1:3 lie well within 5 %."""
    chosen = first_choices([Srv(0, 25, 5060, "a"), Srv(0, 75, 5060, "b")])
    assert abs(chosen["a"] / 3_000 - 0.25) < 0.05


def test_weight_zero_is_chosen_seldom_but_may_be() -> None:
    """RFC 2782: "a very small chance" beside records with weights."""
    chosen = first_choices([Srv(0, 0, 5060, "spare"), Srv(0, 20, 5060, "main")])
    assert 0 < chosen["spare"] < 400


def test_all_weights_zero() -> None:
    """RFC 2782: no balancing is wanted; the order is still always the same set."""
    records = [Srv(0, 0, 5060, name) for name in "cab"]
    assert {one.target for one in sort_srv(records, lambda below: 0)} == set("abc")


@given(
    st.lists(
        st.builds(Srv, st.integers(0, 3), st.integers(0, 65535), st.just(5060), st.text("abc", min_size=1))
    )
)
def test_every_server_is_tried_once_and_priorities_come_first(records: list[Srv]) -> None:
    """RFC 2782: a higher priority number is tried after all lower ones, whatever the weights."""
    ordered = sort_srv(records, Entropy(b"seed for weights").number)
    assert sorted(map(repr, ordered)) == sorted(map(repr, records))
    assert [one.priority for one in ordered] == sorted(one.priority for one in records)


@given(st.permutations([Srv(0, weight, 5060, f"s{weight}") for weight in (0, 1, 5, 10, 10)]))
def test_the_same_draws_give_the_same_order(records: list[Srv]) -> None:
    """RFC 3263 4.4: whatever order the name server chose this time."""
    draws = iter([3, 7, 0, 2, 1, 4])
    expected = iter([3, 7, 0, 2, 1, 4])
    fixed = [Srv(0, weight, 5060, f"s{weight}") for weight in (0, 1, 5, 10, 10)]
    assert sort_srv(records, lambda below: next(draws) % below) == sort_srv(
        fixed, lambda below: next(expected) % below
    )


def rule(
    order: int, preference: int, service: str, flags: str = "s", regexp: str = "", name: str = ""
) -> Naptr:
    return Naptr(order, preference, flags, service, regexp, name or service.lower())


def test_the_example_of_rfc_3263() -> None:
    """RFC 3263 4.1: of TLS, TCP and UDP a client without TLS takes TCP."""
    records = [rule(100, 50, "SIP+D2U"), rule(50, 50, "SIPS+D2T"), rule(90, 50, "SIP+D2T")]
    assert [one.transport for one in sip_services(records, ("udp", "tcp"), False)] == ["tcp", "udp"]
    assert [one.transport for one in sip_services(records, ALL, False)] == ["tls", "tcp", "udp"]
    # RFC 3263 4.1: a sips URI takes SIPS only.
    assert [one.transport for one in sip_services(records, ALL, True)] == ["tls"]
    assert sip_services(records, ("udp", "tcp"), True) == []


def test_what_is_discarded() -> None:
    """RFC 3263 4.1: other services, expressions, flags that mean something else, empty names."""
    records = [
        rule(1, 1, "E2U+sip", "u", "!^.*$!sip:a@b!"),
        rule(1, 1, "SIP+D2X"),
        rule(1, 1, "SIPS+D2U"),
        rule(1, 1, "SIP+D2U", regexp="!.*!x!"),
        rule(1, 1, "SIP+D2U", flags="u"),
        rule(1, 1, "SIP+D2U", flags=""),
        Naptr(1, 1, "s", "SIP+D2U", "", ""),
        rule(2, 2, "sip+d2u", "S", name="kept"),
        rule(2, 1, "SIP+D2T", "A", name="host"),
    ]
    assert sip_services(records, ALL, False) == [
        Service(2, "tcp", "host", True),
        Service(2, "udp", "kept", False),
    ]


def test_every_service_of_the_registry() -> None:
    """RFC 3263 4.1, RFC 4168 5, RFC 7118 10.2."""
    names = ("SIP+D2U", "SIP+D2T", "SIP+D2S", "SIPS+D2T", "SIP+D2W", "SIPS+D2W")
    found = sip_services([rule(index, 0, name) for index, name in enumerate(names)], ALL, False)
    assert [one.transport for one in found] == ["udp", "tcp", "sctp", "tls", "ws", "wss"]
