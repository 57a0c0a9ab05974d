"""Two nodes with one Redis serve subscriptions: one is killed, and the other goes on where it was.

Theory of operation: the nodes are installed ``sansip serve`` processes. A watcher subscribes at the first to
many users, and publishes for them; the first node is killed by ``kill -9``; the watcher hears of each
subscription from the second one, refreshes there, and is told of what is published there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.interop.test_acknowledged_events import BODY, Client
from tests.interop.test_cluster import Node
from tools.peers import free_port
from tools.redises import HOST, redis_server

pytestmark = [pytest.mark.interop, pytest.mark.needs("redis-server", "redis-cli"), pytest.mark.timeout(120)]

COUNT = 40
MODULES = """
rows = "{rows}"
[documents]
[events]
open = true
unanswered = 1000
[presence]
interval = 0.0
[publications]
open = true
"""
KIND = "Content-Type: application/pidf+xml\r\nExpires: 3600\r\n"


@contextmanager
def nodes(directory: Path) -> Iterator[tuple[Node, Node]]:
    """Start a Redis and two nodes that share it, and stop them at the end."""
    port = free_port()
    location = f"redis://{HOST}:{port}/0"
    more = MODULES.format(rows=location)
    with redis_server(directory / "redis", port):
        one, two = (Node(directory, name, location, more=more) for name in ("n1", "n2"))
        try:
            one.program.wait_for("node n2 lives")
            two.program.wait_for("node n1 lives")
            yield one, two
        finally:
            for node in (one, two):
                node.stop()


def hear_until(client: Client, seconds: float, count: int) -> None:
    """Take what comes until so many NOTIFYs of different subscriptions are there."""
    end = time.monotonic() + seconds
    while len({fields["Call-ID"] for _, fields in client.notified}) < count:
        assert time.monotonic() < end, f"{len(client.notified)} NOTIFYs came, not {count}"
        client.hear(0.2)


def test_a_node_is_killed(tmp_path: Path) -> None:
    """Nothing acknowledged is lost, and each watcher has one notifier at a time."""
    with nodes(tmp_path) as (one, two), closing(Client(one.port, "biloxi.test")) as client:
        play(client, one, two)
    assert "Traceback" not in two.program.output()


def play(client: Client, one: Node, two: Node) -> None:
    for number in range(COUNT):
        client.request("SUBSCRIBE", f"s{number}", "Expires: 3600\r\n")
        client.request("PUBLISH", f"p{number}", KIND, BODY)
        client.hear(0.01)
    client.hear(1.0)
    assert len(client.subscribed) == len(client.published) == COUNT
    assert {source for source, _ in client.notified} == {one.port}
    numbers = {fields["Call-ID"]: int(fields["CSeq"].split()[0]) for _, fields in client.notified}
    client.notified.clear()
    one.kill()
    client.turn_to(two.port)
    hear_until(client, 30.0, COUNT)
    assert {source for source, _ in client.notified} == {two.port}
    for _, fields in client.notified:
        # RFC 3261 12.2.1.1, 12.2.1.2: behind the numbers of the first node, and the target is the second.
        assert int(fields["CSeq"].split()[0]) > numbers[fields["Call-ID"]]
        assert f":{two.port}" in fields["Contact"]
        assert fields["Subscription-State"].startswith("active")
    statuses = client.ask(
        {
            name: lambda attempt, name=name, tag=tag: client.request(
                "SUBSCRIBE", name, "Expires: 600\r\n", cseq=attempt, tag=tag
            )
            for name, tag in dict(client.subscribed).items()
        }
    )
    assert set(statuses.values()) == {200}
    # RFC 3903 6: the entity-tags of the first node are known.
    statuses = client.ask(
        {
            name: lambda attempt, name=name, tag=tag: client.request(
                "PUBLISH", name, f"SIP-If-Match: {tag}\r\nExpires: 600\r\n", cseq=attempt
            )
            for name, tag in dict(client.published).items()
        }
    )
    assert set(statuses.values()) == {200}
    client.hear(1.0)
    client.notified.clear()
    # The first node comes back, and leaves alone what the second one serves.
    one.start()
    two.program.wait_for("node n1 lives")
    client.hear(3.0)
    assert client.notified == []
    client.request("PUBLISH", "s0", KIND, BODY)
    client.hear(2.0)
    assert [(source, fields["Call-ID"]) for source, fields in client.notified] == [(two.port, "s0")]


def test_a_publication_at_one_node_a_watcher_at_the_other(tmp_path: Path) -> None:
    """Both nodes live: what a phone publishes, changes and takes away at one, the other's watcher hears."""
    with (
        nodes(tmp_path) as (one, two),
        closing(Client(two.port, "biloxi.test")) as watcher,
        closing(Client(one.port, "biloxi.test")) as phone,
    ):
        publish_and_watch(watcher, phone, two.port)
    for node in (one, two):
        assert "Traceback" not in node.program.output()


def publish_and_watch(watcher: Client, phone: Client, port: int) -> None:
    watcher.request("SUBSCRIBE", "bob", "Expires: 3600\r\n")
    watcher.hear(1.0)
    assert "bob" in watcher.subscribed

    def publish(headers: str, body: str = "", cseq: int = 1) -> None:
        watcher.notified.clear()
        phone.request("PUBLISH", "bob", headers, body, cseq=cseq)
        phone.hear(1.0)
        tell(watcher)
        assert {source for source, _ in watcher.notified} == {port}

    publish(KIND, BODY)
    publish(f"SIP-If-Match: {phone.published['bob']}\r\n{KIND}", BODY.replace("open", "closed"), 2)
    publish(f"SIP-If-Match: {phone.published['bob']}\r\nExpires: 0\r\n", cseq=3)


def tell(watcher: Client) -> None:
    """Take what comes until there is a NOTIFY."""
    end = time.monotonic() + 15
    while not watcher.notified:
        assert time.monotonic() < end, "the watcher at the other node was not told"
        watcher.hear(0.2)
