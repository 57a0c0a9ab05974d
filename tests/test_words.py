"""Plain words (design.md 11): a reader whose first language is not English reads no sentence twice.

Theory of operation: a short list of words that plain technical English does without, each with what stands in
its place, is looked for in comments, docs, messages and names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("sansip", "adapters", "server", "conformance", "tests", "docs", "examples", "tools", "benchmarks")
# word, as a regular expression -> what to write instead
WORDS = {
    r"who(?:m|mever|ever|soever)": "name the actor: the phone, the caller, this node",
    r"where(?:in|of|by|upon)|there(?:of|upon)|here(?:by|of|in)|hitherto|whence|thence": "in which, of it, so",
    r"(?:is|are|waits) for nobody|for nobody to|asks nothing of|it is for \w+ to say": "say who does it",
    r"albeit|notwithstanding|lest|ere": "although, or, before",
    r"praise|besiege": "the RFC's name of the thing",
}
_ODD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)


def files() -> list[Path]:
    """Return sources and documents; this file names the words."""
    found = [path for place in PLACES for path in (ROOT / place).rglob("*") if path.suffix in (".py", ".md")]
    return sorted({*found, ROOT / "README.md", ROOT / "CONTRIBUTING.md"} - {Path(__file__)})


def odd_words(text: str) -> list[tuple[int, str]]:
    """Return (line, word) for each odd word."""
    return [(text.count("\n", 0, found.start()) + 1, found[0]) for found in _ODD.finditer(text)]


def test_plain_words() -> None:
    """Each place is named with its line, and WORDS says what to write."""
    places = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in files()
        for line, word in odd_words(path.read_text(encoding="utf-8"))
    ]
    assert places == []


@pytest.mark.parametrize("sentence", ["whoever asks", "Whom to ask", "that is for nobody to say"])
def test_odd_words_are_found(sentence: str) -> None:
    """The check can fail."""
    assert odd_words(f"plain\n{sentence}") != []
