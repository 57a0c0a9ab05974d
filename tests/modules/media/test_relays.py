"""Calls are spread by weight, alike on all nodes; when a relay goes only its own calls move."""

from __future__ import annotations

from sansip.modules.media.relays import score


def best(weights: dict[str, int], key: str) -> str:
    return max(weights, key=lambda uri: score(uri, weights[uri], key))


def test_by_weight() -> None:
    """Shares of 20,000 calls within 4 deviations."""
    weights = {"ng:192.0.2.1:1": 1, "ng:192.0.2.2:1": 2, "ng:192.0.2.3:1": 5}
    count = 20_000
    found = dict.fromkeys(weights, 0)
    for number in range(count):
        found[best(weights, f"call-{number}")] += 1
    for uri, weight in weights.items():
        share = weight / 8
        assert abs(found[uri] - count * share) < 4 * (count * share * (1 - share)) ** 0.5


def test_only_its_own_move() -> None:
    """A relay that goes leaves every other call where it is."""
    weights = {f"ng:192.0.2.{number}:1": 1 for number in range(5)}
    gone = "ng:192.0.2.3:1"
    left = {uri: weight for uri, weight in weights.items() if uri != gone}
    for number in range(2_000):
        before = best(weights, f"call-{number}")
        if before != gone:
            assert best(left, f"call-{number}") == before
