"""The promise of a node to another: that it admitted a request, and no more than that."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.rig import ALICE, Out, only, request
from tests.routing.test_shared import WebPhone
from tests.shelf import Cluster


def led(cluster: Cluster) -> Out:
    """Alice's INVITE to bob's browser, as it leaves b for a."""
    contact = [("Contact", "<sip:alice@192.0.2.1>")]
    return only(cluster.udp("b", request(headers=contact), ALICE), "INVITE")


def taken(cluster: Cluster, data: bytes) -> list[Any]:
    """Whether node a believes that another node sent ``data``, for each request that its route got."""
    seen: list[Any] = []
    stack = cluster.rigs["a"].stack
    route = stack.route

    def watch(handle: Any) -> Any:
        seen.append(handle.from_node)
        return route(handle)

    stack.route = watch
    cluster.udp("a", data, ("203.0.113.66", 5060))
    stack.route = route
    return seen


def test_a_request_of_another_node() -> None:
    """The node of the phone asks for no password that the caller has given to another node."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    assert taken(cluster, led(cluster).data) == [True]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rb"Call-ID: call@192.0.2.1", b"Call-ID: another"),
        (rb";tag=alice", b";tag=mallory"),
        (rb"CSeq: 1 INVITE", b"CSeq: 2 INVITE"),
        (rb"INVITE", b"MESSAGE"),
        (rb";n=[0-9a-f]+", b""),
        (rb";n=[0-9a-f]+", b";n=0123456789abcdef"),
        (rb";n=[0-9a-f]+", b";n=\xff"),
    ],
)
def test_a_route_value_of_another_request(old: bytes, new: bytes) -> None:
    """Issue 22: a reader of it on the way, or of its token in Redis, stays a stranger."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    data = re.sub(old, new, led(cluster).data)
    assert taken(cluster, data) in ([False], [])


def test_another_key() -> None:
    """A node without the key vouches for nothing."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    nodes = cluster.rigs["b"].stack.nodes
    assert nodes is not None
    nodes.prove = lambda text: "0123456789abcdef"
    # It is refused before any route sees it.
    assert taken(cluster, led(cluster).data) == []
