"""Publications of living nodes: what one takes, the watchers of the others hear (RFC 3903 6)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sansip.module import Use
from sansip.modules.events import Events, EventsSettings
from sansip.modules.publications import Publications, PublicationsSettings
from sansip.wire import Response
from tests.modules.events.test_nodes import Nodes as Sharing
from tests.modules.publications.test_module import Reports, message, state, told
from tests.rig import ALICE


class Nodes(Sharing):
    """Nodes that share rows, values and publications."""

    MODULES = (
        Use(Events, EventsSettings(open=True)),
        Use(Publications, PublicationsSettings(open=True)),
        Use(Reports),
    )

    def publish(self, name: str, *given: Any, **options: Any) -> Response:
        """Send a PUBLISH to one node; return its answer."""
        outs = [*self.udp(name, message(*given, **options), ALICE), *self.settle(name)]
        while self.rigs[name].asks:
            outs += self.settle(name)
        (answer,) = [one.message for one in outs if isinstance(one.message, Response)]
        return answer

    def meet(self, seconds: float = 2.0) -> None:
        """Let the nodes hear of each other."""
        for _ in range(2):
            for name in self.rigs:
                self.wait(name, seconds / 2)


def test_a_publication_at_another_node() -> None:
    """A watcher at n2 learns within a second what a phone publishes, changes and takes away at n1."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    two = nodes.rigs["n2"]
    first = nodes.publish("n1", b"sun")
    assert first.status == 200
    nodes.meet()
    assert state(two) == ["sun"]
    assert len(told(two)) == 1
    second = nodes.publish("n1", b"rain", first.get("sip-etag"))
    nodes.meet()
    assert state(two) == ["rain"]
    # RFC 3903 6: a refresh is no new state, at no node.
    third = nodes.publish("n1", b"", second.get("sip-etag"), 900)
    nodes.meet()
    assert len(told(two)) == 2
    # A phone goes on at the other node with the tag of the first.
    last = nodes.publish("n2", b"", third.get("sip-etag"), 0)
    assert last.status == 200
    nodes.meet()
    assert state(nodes.rigs["n1"]) == state(two) == []
    assert nodes.rows.count(Publications.tables[0]) == 0


def test_one_tag_at_two_nodes() -> None:
    """RFC 3903 6 step 3: of two requests with one entity-tag one wins, also where two nodes get them."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    tag = nodes.publish("n1", b"sun").get("sip-etag")
    nodes.meet()
    statuses = [
        nodes.publish("n1", b"rain", tag).status,
        nodes.publish("n2", b"snow", tag).status,
    ]
    assert statuses == [200, 412]
    nodes.meet()
    assert state(nodes.rigs["n1"]) == state(nodes.rigs["n2"]) == ["rain"]


def test_more_than_the_value_holds() -> None:
    """A node that missed many changes reads all rows."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    for number in range(600):
        nodes.publish("n1", b"sun", uri=f"sip:u{number}@biloxi.test")
    nodes.meet()
    assert len(nodes.rigs["n2"].stack.modules.get(Publications)) == 600


def test_a_node_starts_again() -> None:
    """A node that died and began anew is heard again, and knows what others took meanwhile."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    nodes.publish("n1", b"sun")
    nodes.die("n1")
    nodes.meet()
    nodes.publish("n2", b"rain")
    nodes.start("n1")
    nodes.meet(6.0)
    assert sorted(state(nodes.rigs["n1"])) == ["rain", "sun"]
    nodes.publish("n1", b"snow")
    nodes.meet()
    assert sorted(state(nodes.rigs["n2"])) == ["rain", "snow", "sun"]


def test_the_values_are_away() -> None:
    """Redis loses its live values for a while: the changes are told when it is there again."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    nodes.values_down = True
    assert nodes.publish("n1", b"sun").status == 200
    nodes.meet(4.0)
    assert state(nodes.rigs["n2"]) == []
    nodes.values_down = False
    nodes.meet(6.0)
    assert state(nodes.rigs["n2"]) == ["sun"]


def test_rows_that_were_read_before_a_publication() -> None:
    """What a phone got its 200 for stays, although rows that were read before have nothing of it."""
    nodes = Nodes("n1", "n2")
    nodes.meet()
    publications: Any = nodes.rigs["n1"].stack.modules.get(Publications)
    real = publications._rows

    async def read(*_: str) -> list[Any]:
        publications._rows = real
        # It comes, and is answered, between the question and its answer.
        assert nodes.publish("n1", b"sun").status == 200
        return []

    publications._rows = SimpleNamespace(all=read)
    with pytest.raises(StopIteration):
        publications._reread(("weather", "sip:bob@biloxi.test")).send(None)
    assert state(nodes.rigs["n1"]) == ["sun"]
    nodes.meet()
    assert state(nodes.rigs["n1"]) == state(nodes.rigs["n2"]) == ["sun"]
