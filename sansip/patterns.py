"""Regular expressions that cannot run away, and replacements by them.

Theory of operation: Python's ``re`` tries alternatives one after the other, and some expressions have so many
that a few dozen characters keep it busy for years: ``(a+)+b``. Whether an expression is one of them shows in
its own text. ``Pattern`` counts in how many ways the expression could go through a text of ``LONGEST``
characters, and refuses it where these are too many; longer texts match nothing. A repeated character counts
once if it cannot be confused with what follows it: ``\\d+-\\d+`` has one way, ``.*a.*b`` as many as there are
places for the two letters. So operators, and the owners of DNS zones (RFC 6116), may write expressions, and
nobody waits for them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from re import _constants as sre  # type: ignore[attr-defined]  # typeshed has it under its old name
from re import _parser as parser  # type: ignore[attr-defined]  # as above
from typing import Any, Final, TypeAlias

__all__ = ["LONGEST", "Pattern", "Template"]

# Characters of a text that is matched. → it matches nothing
LONGEST: Final = 64
# Steps that a match may take, of some ten nanoseconds each. → the expression is refused
STEPS: Final = 300_000
# Characters of an expression, and of what a replacement makes. → refused
LONGEST_PATTERN: Final = 512
LONGEST_RESULT: Final = 256
# Parts of an expression, groups within groups. → refused
_DEEPEST: Final = 20

# A set of characters as bits: 0 to 127, and one bit for all others.
_Set: TypeAlias = int
_OTHERS: Final = 128
_ALL: Final = (1 << (_OTHERS + 1)) - 1
_DIGITS: Final = sum(1 << code for code in range(128) if chr(code).isdigit())
_SPACES: Final = sum(1 << ord(one) for one in " \t\n\r\f\v")
_WORDS: Final = sum(1 << code for code in range(128) if chr(code).isalnum() or chr(code) == "_")
_CATEGORIES: Final[dict[Any, _Set]] = {
    sre.CATEGORY_DIGIT: _DIGITS,
    sre.CATEGORY_NOT_DIGIT: _ALL & ~_DIGITS,
    sre.CATEGORY_SPACE: _SPACES,
    sre.CATEGORY_NOT_SPACE: _ALL & ~_SPACES,
    sre.CATEGORY_WORD: _WORDS,
    sre.CATEGORY_NOT_WORD: _ALL & ~_WORDS,
}
_REPEATS: Final = (sre.MAX_REPEAT, sre.MIN_REPEAT)
_ENDS: Final = (sre.AT_END, sre.AT_END_STRING)
# With these ``$`` holds at each line's end, and ``\w`` has letters that ``_WORDS`` has not.
_UNCOUNTED: Final = re.MULTILINE | re.UNICODE


class Pattern:
    """A regular expression of Python's, of ASCII, that takes little time for any text.

    No references to groups and no lookaround. Raises ``ValueError`` that says what is wrong.
    """

    __slots__ = ("_match", "_search", "groups", "steps", "text")

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        if len(text) > LONGEST_PATTERN:
            raise ValueError(f"an expression has at most {LONGEST_PATTERN} characters, not {len(text)}")
        flags = re.ASCII | (re.IGNORECASE if ignore_case else 0)
        try:
            with warnings.catch_warnings():
                # "[[" means something else in others' dialects: nobody should guess.
                warnings.simplefilter("error")
                tree = parser.parse(text, flags)
                compiled = re.compile(text, flags)
        except (re.error, RecursionError, OverflowError, Warning) as error:
            raise ValueError(f"{text!r:.80} is no regular expression: {error}") from None
        _check_flags(tree.state.flags)
        steps = _ways(list(tree), 0, 0)[0] * (1 if _is_anchored(tree) else LONGEST + 1) * LONGEST
        if steps > STEPS:
            raise ValueError(
                f"{text!r:.80} may take too long: a text of {LONGEST} characters fits it in too many ways;"
                " begin it with ^, or say what ends each repeated part"
            )
        self.text = text
        # How many steps a match may take, by this count.
        self.steps = steps
        self.groups: int = compiled.groups
        self._search = compiled.search
        self._match = compiled.fullmatch

    def search(self, text: str) -> re.Match[str] | None:
        """Return where it fits in ``text`` first, or None."""
        return self._search(text) if len(text) <= LONGEST else None

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """Return how it fits the whole of ``text``, or None."""
        return self._match(text) if len(text) <= LONGEST else None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


class Template:
    """What replaces a match: ``\\1`` is the first group, ``\\0`` all of it, ``\\\\`` a backslash.

    Raises ``ValueError`` for a group that the expression does not have.
    """

    __slots__ = ("_pieces", "text")

    def __init__(self, text: str, groups: int) -> None:
        pieces: list[str | int] = []
        at = 0
        for found in re.finditer(r"\\(.?)", text, re.DOTALL):
            pieces.append(text[at : found.start()])
            mark = found[1]
            at = found.end()
            if not mark:
                raise ValueError(f"{text!r:.80} ends in a backslash")
            if mark not in "0123456789":
                pieces.append(mark)
            elif int(mark) > groups:
                raise ValueError(f"{text!r:.80} has \\{mark}, and the expression has {groups} groups")
            else:
                pieces.append(int(mark))
        pieces.append(text[at:])
        self._pieces = tuple(one for one in pieces if one != "")
        self.text = text

    def expand(self, match: re.Match[str]) -> str:
        """Return the text for ``match``. Raises ``ValueError`` where it is too long."""
        made = "".join(one if isinstance(one, str) else match[one] or "" for one in self._pieces)
        if len(made) > LONGEST_RESULT:
            raise ValueError(f"{self.text!r:.80} makes more than {LONGEST_RESULT} characters")
        return made


def _is_anchored(tree: Any) -> bool:
    first = tree[0] if len(tree) else None
    return (
        first is not None and first[0] is sre.AT and first[1] in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING)
    )


def _check_flags(flags: int) -> None:
    if flags & _UNCOUNTED:
        raise ValueError("an expression must do without the flags m and u")


def _ways(items: list[Any], follow: _Set, depth: int) -> tuple[int, _Set, bool]:
    """Return in how many ways ``items`` go through a text, what they begin with, and if they may be empty.

    ``follow``: the characters that may come behind them.
    """
    if depth > _DEEPEST:
        raise ValueError(f"an expression has at most {_DEEPEST} groups within each other")
    ways, first, empty = 1, follow, True
    for operation, argument in reversed(items):
        # ``first`` is what the rest behind this item begins with, with what follows where it may be empty.
        if operation is sre.AT:
            if argument in _ENDS:
                first, empty = 0, False
            continue
        if operation in _REPEATS:
            some, begin, nothing = _repeated(argument, first, depth)
        elif operation is sre.BRANCH:
            some, begin, nothing = _alternatives(argument[1], first, depth)
        elif operation is sre.SUBPATTERN:
            _check_flags(argument[1])
            some, begin, nothing = _ways(list(argument[3]), first, depth + 1)
        else:
            some, begin, nothing = 1, _set(operation, argument), False
        ways = min(ways * some, STEPS + 1)
        first = begin | first if nothing else begin
        empty = empty and nothing
    return ways, first, empty


def _beginning(items: Any) -> tuple[_Set, bool]:
    """Return what ``items`` begin with, and if they may be empty.

    Nothing is counted, so that a look at one round does not count all that is repeated within it twice.
    """
    found = 0
    for operation, argument in items:
        if operation is sre.AT:
            if argument in _ENDS:
                return found, False
            continue
        if operation in _REPEATS:
            begin, nothing = _beginning(argument[2])
            nothing = nothing or not argument[0]
        elif operation is sre.BRANCH:
            each = [_beginning(branch) for branch in argument[1]]
            begin, nothing = 0, any(one[1] for one in each)
            for one, _ in each:
                begin |= one
        elif operation is sre.SUBPATTERN:
            begin, nothing = _beginning(argument[3])
        else:
            begin, nothing = _set(operation, argument), False
        found |= begin
        if not nothing:
            return found, False
    return found, True


def _alternatives(branches: list[Any], follow: _Set, depth: int) -> tuple[int, _Set, bool]:
    total, best, seen, empty, apart = 0, 1, 0, False, True
    for branch in branches:
        ways, first, nothing = _ways(list(branch), follow, depth + 1)
        begin = first | follow if nothing else first
        apart = apart and not begin & seen
        seen |= begin
        total, best = total + ways, max(best, ways)
        empty = empty or nothing
    return best if apart else total, seen, empty


def _repeated(argument: Any, follow: _Set, depth: int) -> tuple[int, _Set, bool]:
    least, most, body = argument
    # Behind one round comes the next one, or the rest.
    first, nothing = _beginning(body)
    inner, first, nothing = _ways(list(body), follow if most == 1 else first | follow, depth + 1)
    most = min(int(most), LONGEST)
    if most > 1 and nothing:
        raise ValueError("a repeated part must not be empty: write (a+)? or a*, not (a*)*")
    rounds = most - min(int(least), most) + 1
    if not first & follow:
        # The next character says whether one more round comes.
        rounds = 1
    if inner > 1 and most > 1:
        return (
            STEPS + 1 if most * inner.bit_length() > 64 else min(inner**most * rounds, STEPS + 1),
            first,
            not least,
        )
    return inner * rounds, first, nothing or not least


def _set(operation: Any, argument: Any) -> _Set:
    """Return the characters that one part of an expression takes."""
    if operation is sre.LITERAL:
        return _character(argument)
    if operation is sre.NOT_LITERAL or operation is sre.ANY:
        return _ALL
    if operation is sre.IN:
        found = 0
        for kind, value in argument:
            if kind is sre.NEGATE:
                return _negated(argument[1:])
            found |= _member(kind, value)
        return found
    raise ValueError(f"an expression must do without {str(operation).lower()}: references and lookaround")


def _negated(members: Any) -> _Set:
    found = 0
    for kind, value in members:
        # Only what is surely excluded: [^a] takes "A" unless case is ignored, and there are many others.
        found |= _member(kind, value, _exactly)
    return _ALL & ~(found & ~(1 << _OTHERS))


def _member(kind: Any, value: Any, one: Callable[[int], _Set] | None = None) -> _Set:
    one = one or _character
    if kind is sre.LITERAL:
        return one(value)
    if kind is sre.RANGE:
        low, high = value
        found = 0
        for code in range(low, min(high, 127) + 1):
            found |= one(code)
        return found | (1 << _OTHERS if high > 127 else 0)
    return _CATEGORIES[value]


def _exactly(code: int) -> _Set:
    return 1 << min(code, _OTHERS)


def _character(code: int) -> _Set:
    if code > 127:
        return 1 << _OTHERS
    # Both cases: it may be written without regard to them.
    one = chr(code)
    return 1 << ord(one.lower()) | 1 << ord(one.upper())
