"""RFC 3261 16.7 steps 6 and 7: which of several final responses goes back, and with what."""

from __future__ import annotations

import pytest

from sansip.proxy.best_response import add_challenges, choose, slim
from sansip.wire import Response


def made(status: int, *headers: tuple[str, str]) -> Response:
    return Response.build(status, None, headers)


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        # "It MUST choose from the 6xx class responses if any exist in the context."
        ([200 + 100, 404, 503, 603], 603),
        ([604, 600, 486], 600),
        # "the proxy SHOULD choose from the lowest response class"
        ([500, 404, 302], 302),
        ([503, 500, 404], 404),
        ([500, 501], 500),
        # "preference to responses that provide information affecting resubmission"
        ([404, 486, 401], 401),
        ([404, 407, 486], 407),
        ([486, 415], 415),
        ([408, 420], 420),
        ([480, 484, 404], 484),
        # the example of step 6
        ([503, 407, 501, 404], 407),
        # a 503 of one branch says nothing about us; a 408 says less than any word
        ([503, 501], 501),
        ([408, 480], 480),
        ([408, 503], 408),
        ([503, 503], 503),
        # among equals the first
        ([486, 480], 486),
        ([480, 486], 480),
    ],
)
def test_choose(statuses: list[int], best: int) -> None:
    """By class, and within the class by use to the caller."""
    responses = [made(status) for status in statuses]
    assert choose(responses).status == best


def test_the_first_of_equals() -> None:
    """Of two with one status the first came first."""
    first, second = made(486), made(486)
    assert choose([first, second]) is first


def test_all_challenges_go_back() -> None:
    """Step 7: of every other 401 and 407, unmodified, whichever of the two was chosen."""
    responses = [
        made(407, ("Proxy-Authenticate", 'Digest realm="one", nonce="1"')),
        made(404, ("WWW-Authenticate", 'Digest realm="no challenge", nonce="0"')),
        made(401, ("WWW-Authenticate", 'Digest realm="two", nonce="2"')),
        made(
            407,
            ("Proxy-Authenticate", 'Digest realm="three", nonce="3"'),
            ("Proxy-Authenticate", 'Digest realm="four", nonce="4"'),
        ),
    ]
    best = choose(responses)
    add_challenges(best, responses, 10, 10_000)
    assert best is responses[0]
    assert best.get_all("www-authenticate") == ['Digest realm="two", nonce="2"']
    assert best.get_all("proxy-authenticate") == [
        'Digest realm="one", nonce="1"',
        'Digest realm="three", nonce="3"',
        'Digest realm="four", nonce="4"',
    ]


def test_other_responses_carry_no_challenges() -> None:
    """Step 7 is about a selected 401 or 407."""
    responses = [made(603), made(401, ("WWW-Authenticate", 'Digest realm="two", nonce="2"'))]
    best = choose(responses)
    add_challenges(best, responses, 10, 10_000)
    assert not best.has("www-authenticate")


def test_the_size_of_what_comes_together() -> None:
    """A callee that challenges with 16 KB does not keep the caller from the challenges of others."""
    large = f'Digest realm="large", nonce="{"x" * 16_000}"'
    small = 'Digest realm="small", nonce="1"'
    responses = [made(401, ("WWW-Authenticate", text)) for text in (small, large, large, large, small)]
    best = responses[0]
    add_challenges(best, responses, 32, 16_384)
    assert best.get_all("www-authenticate") == [small, large, small]


def test_slim() -> None:
    """While other phones ring, a failure keeps only the parts that may still go back."""
    challenge = ("WWW-Authenticate", 'Digest realm="two", nonce="2"')
    responses = [
        Response.build(
            status, None, [("Subject", "x" * 9_000), challenge, ("To", "<sip:b@h>;tag=1")], b"y" * 50_000
        )
        for status in (486, 401, 404)
    ]
    best = choose(responses)
    whole = best.to_bytes()
    slim(responses, best)
    assert best.to_bytes() == whole
    assert sum(len(one.to_bytes()) for one in responses if one is not best) < 200
    assert choose(responses) is best
    assert [one.get_all("www-authenticate") for one in responses] == [[challenge[1]]] * 3
