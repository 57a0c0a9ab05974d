"""The index of requirements: which normative sentences of an RFC the traces cover.

Theory of operation: ``data/requirements.json`` lists every sentence of RFC 3261, sections 8
to 19 and 22, that says MUST, SHOULD, SHALL, REQUIRED or RECOMMENDED, by section,
step and number (``--extract`` makes it out of the RFC's text); ``data/requirements-rfc4825.json``
and its neighbours do so for other RFCs (``OTHERS``). A sentence is
covered by the traces that cite its section and step; one that no trace cites
has a reason here, or is listed as open. The page is written by ``page``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from sansip_conformance.run import load_suites
from sansip_conformance.trace import Trace

__all__ = ["OTHERS", "coverage", "extract", "extract_other", "page"]

# A requirement, the traces that cover it, and why it does not apply.
Row = tuple[dict[str, Any], list[str], str]

_KEYWORD = re.compile(r"\b(MUST NOT|SHOULD NOT|SHALL NOT|MUST|SHOULD|SHALL|REQUIRED|RECOMMENDED)\b")
_STEPPED = ("10.3", "16.3", "16.6", "16.7")

# Why sentences of a section do not apply to a server under test; longest prefix first.
_REASONS = {
    "8.1": "the duty of a user agent client, which the suite plays",
    "8.2.4": "a user agent's use of extensions; the server itself uses none",
    "8.2.3": "bodies are processed by user agents; the server itself takes none",
    "8.2.2.2": "merged requests are detected by user agents; a proxy forwards both",
    "8.2.5": "",
    "8.2.7": "a stateless user agent server; this server keeps state",
    "10.1": "what a registrar is, not what it does",
    "10.2": "the duty of the client that registers, which the suite plays",
    "11.1": "the duty of the client",
    "12.1.2": "the duty of the user agent client",
    "12.2.1": "the duty of the user agent client",
    "12.1": "dialogs are made by user agents",
    "12.2.2": "dialogs are kept by user agents; the server has none of its own",
    "13": "the duty of user agents; what they send passes the proxy, which traces of section 13 show",
    "14": "the duty of user agents; what they send passes the proxy, which traces of section 14 show",
    "15": "the duty of user agents; what they send passes the proxy, which traces of section 15 show",
    "16.1": "advice for designers; shown by the traces of 16.2 to 16.11",
    "16.2": "the model of a stateful proxy; shown by the traces of 16.3 to 16.10",
    "19.1.5": "forming requests from a URI is done by user agents",
    "19.1.6": "relating tel and SIP URIs is a choice of the route",
    "19.1.2": "the grammar of URIs: tests/wire holds the cases",
}
# Single sentences, by id.
_CLIENT = "the duty of the client that is challenged, which the suite plays"
_SINGLE: dict[str, str] = {
    **dict.fromkeys(
        ("22.1/8", "22.1/9", "22.2/2", "22.2/3", "22.2/4", "22.3/4", "22.3/5", "22.3/6"), _CLIENT
    ),
    **dict.fromkeys(("22.3/7", "22.3/13", "22.4/4", "22.4/6"), _CLIENT),
    "22.1/2": "advice to operators: docs/configuration.md says it",
    "22.1/3": "advice to operators: the realm is the domain unless they say otherwise",
    "8.2.2.3/5": "the duty of the user agent client",
    "8.2.2.3/3": "the duty of the user agent client",
    "11/1": "the duty of user agents",
    "16.3/3": "what a proxy need not do",
    "17.1/1": "advice to the users of transactions",
    "17.2.4/1": "finding another address for a response: needs DNS, which is not in the core yet",
}


@dataclass(frozen=True)
class Other:
    """Another RFC in the index: what is listed of it, and why sentences do not apply, by section.

    ``begins``: the heading from which on it is read; ``tops``: the first and last section; ``binds``: what
    they bind.
    """

    begins: str
    tops: tuple[int, int]
    binds: str
    reasons: dict[str, str]


_WRITERS = "advice to the authors of application usages"
_ENDPOINT = "the duty of endpoints, which the suite plays"
_SDP = "the duty of the endpoints that make offers and answers; the relay sees no SDP"
OTHERS: dict[str, Other] = {
    "4825": Other(
        "5.  Application Usages",
        (5, 12),
        "an XCAP server",
        {
            "5.2": _WRITERS,
            "5.3": _WRITERS,
            "5.5": _WRITERS,
            "5.9": _WRITERS,
            "5.10": _WRITERS,
            "7": "the duty of the client, which the suite plays",
        },
    ),
    "4975": Other(
        "6.  MSRP URIs",
        (6, 10),
        "a relay, which is one of the nodes that it means,",
        {
            "6.2": "the duty of a node that connects; tests/modules/msrp has the relay's own connections",
            "7.1.3": "success reports are made by endpoints; traces of RFC 4976 6.4.2 show that they pass",
            "7.3.2": _ENDPOINT,
            "8": _SDP,
            "10.4": _ENDPOINT,
        },
    ),
    "4976": Other(
        "4.  New Protocol Elements",
        (4, 9),
        "a relay",
        {
            "5": "the duty of the client, which the suite plays",
            "8": "the duty of the client, which finds its relay by DNS",
            "9.4": "TLS between relays; tests/modules/msrp has the relay's own connections",
        },
    ),
}


def extract_other(text: str, rfc: str) -> list[dict[str, Any]]:
    """Return the requirements in the text of an RFC in ``OTHERS``."""
    other = OTHERS[rfc]
    text = re.sub(rf"\n+[^\n]*\[Page \d+\]\n\f?\n*RFC {rfc}[^\n]*\n+", "\n", text)
    text = text[text.rindex(f"\n{other.begins}") :]
    heads = list(re.finditer(r'(?m)^(\d+(?:\.\d+)*)\.  ([A-Z0-9"][^\n]*)$', text))
    found = []
    for at, head in enumerate(heads):
        if not other.tops[0] <= int(head[1].split(".")[0]) <= other.tops[1]:
            continue
        end = heads[at + 1].start() if at + 1 < len(heads) else len(text)
        found += _sentences(head[1], "", text[head.end() : end], 0)
    return found


def _sentences(section: str, step: str, text: str, number: int) -> list[dict[str, Any]]:
    """Return the requirements in ``text``; ``number`` of them came before in the section."""
    found = []
    for sentence in re.split(r"(?<=[.:;]) (?=[A-Z(])", " ".join(text.split())):
        keyword = _KEYWORD.search(sentence)
        if keyword is None:
            continue
        number += 1
        words = sentence.split()
        lead = " ".join(words[:14]) + (" …" if len(words) > 14 else "")
        name = f"{section}/{number}"
        found.append({"id": name, "section": section, "step": step, "level": keyword[1], "lead": lead})
    return found


def extract(text: str) -> list[dict[str, Any]]:
    """Return the requirements in the text of RFC 3261."""
    text = re.sub(r"\n+Rosenberg, et\. al\.[^\n]*\n\f?\nRFC 3261[^\n]*\n+", "\n", text)
    text = text[text.index("8.1 UAC Behavior", 20_000) :]
    heads = list(re.finditer(r"(?m)^(\d+(?:\.\d+)*)\.? {1,3}([A-Z][^\n]*)$", text))
    found = []
    for at, head in enumerate(heads):
        section = head[1]
        top = int(section.split(".")[0])
        if not (8 <= top <= 19 or top == 22):
            continue
        end = heads[at + 1].start() if at + 1 < len(heads) else len(text)
        step, number = "", 0
        for block in re.split(r"(?m)(?=^ {3,9}\d{1,2}\. +[A-Z])", text[head.end() : end]):
            if section in _STEPPED:
                numbered = re.match(r" {3,9}(\d{1,2})\. ", block)
                step = numbered[1] if numbered else step
            sentences = _sentences(section, step, block, number)
            number += len(sentences)
            found += sentences
    return found


def _requirements(rfc: str) -> list[dict[str, Any]]:
    name = f"requirements-rfc{rfc}.json" if rfc in OTHERS else "requirements.json"
    text = resources.files("sansip_conformance").joinpath("data", name).read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return]  # Any by design


def coverage(traces: Iterable[Trace], rfc: str = "3261") -> list[Row]:
    """Return (requirement, ids of the traces that cover it, reason) for each requirement of ``rfc``."""
    reasons = OTHERS[rfc].reasons if rfc in OTHERS else _REASONS
    single = {} if rfc in OTHERS else _SINGLE
    cited: dict[tuple[str, str], list[str]] = {}
    explicit: dict[str, list[str]] = {}
    for trace in traces:
        for citation in trace.sections:
            match = re.fullmatch(rf"RFC {rfc} ([\d.]+)(?: step (\d+))?", citation)
            if match is not None:
                cited.setdefault((match[1], match[2] or ""), []).append(trace.id)
        if rfc not in OTHERS:
            for name in trace.covers:
                explicit.setdefault(name, []).append(trace.id)
    rows = []
    for one in _requirements(rfc):
        covering = explicit.get(one["id"], []) + cited.get((one["section"], one["step"]), [])
        reason = single.get(one["id"], "")
        if not reason:
            for prefix in sorted(reasons, key=len, reverse=True):
                if one["section"] == prefix or one["section"].startswith(prefix + "."):
                    reason = reasons[prefix]
                    break
        rows.append((one, list(dict.fromkeys(covering)), reason))
    return rows


def page(traces: Iterable[Trace]) -> str:
    """Return the index as Markdown."""
    traces = list(traces)
    lines = [
        "# Requirements of RFC 3261, sections 8 to 19 and 22",
        "",
        "Generated by `python -m sansip_conformance.requirements`; do not edit.",
        "A sentence counts as covered when a trace cites its section (and step, where it has steps);",
        "whether one of these traces looks at that very sentence is for the reader to judge.",
        f"The lead words find it in the RFC. Below it: {', '.join(f'RFC {one}' for one in OTHERS)}.",
        "",
        *_shown(coverage(traces), "a server, proxy or registrar"),
    ]
    for rfc, other in OTHERS.items():
        first, last = other.tops
        lines += ["", f"# Requirements of RFC {rfc}, sections {first} to {last}", ""]
        lines += _shown(coverage(traces, rfc), other.binds)
    return "\n".join([*lines, ""])


def _shown(rows: list[Row], binds: str) -> list[str]:
    """Return the lines for one RFC."""
    binding = [row for row in rows if not row[2]]
    covered = [row for row in binding if row[1]]
    passing = [row for row in rows if row[2] and row[1]]
    lines = [
        f"{len(rows)} normative sentences. {len(binding)} bind {binds} and can be",
        f"observed: {len(covered)} covered, {len(binding) - len(covered)} open.",
        f"The other {len(rows) - len(binding)} have a reason; {len(passing)} of these are in cited sections.",
        "",
        "## Open",
        "",
    ]
    open_rows = [row for row in binding if not row[1]]
    lines += [f"- {_name(one)} {one['level']}: “{one['lead']}”" for one, _, _ in open_rows] or ["Nothing."]
    lines += ["", "## Covered", "", "| requirement | level | begins | traces |", "|---|---|---|---|"]
    for one, ids, _ in covered:
        shown = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
        lines.append(f"| {_name(one)} | {one['level']} | {one['lead'].replace('|', '&#124;')} | {shown} |")
    lines += ["", "## Not for this suite", "", "| section | sentences | reason |", "|---|---|---|"]
    grouped: dict[tuple[str, str], int] = {}
    for one, _, reason in rows:
        if reason:
            grouped[one["section"], reason] = grouped.get((one["section"], reason), 0) + 1
    return lines + [f"| {section} | {count} | {reason} |" for (section, reason), count in grouped.items()]


def _name(one: dict[str, Any]) -> str:
    step = f" step {one['step']}" if one["step"] else ""
    return f"{one['section']}{step} (#{one['id'].rpartition('/')[2]})"


def main() -> None:
    """Print the page; with ``--extract FILE [RFC]`` the requirements in the RFC's text as JSON."""
    if sys.argv[1:2] == ["--extract"]:
        text = Path(sys.argv[2]).read_text("utf-8", "replace")
        found = extract_other(text, sys.argv[3]) if sys.argv[3:] else extract(text)
        sys.stdout.write(json.dumps(found, indent=0, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(page(load_suites()))


if __name__ == "__main__":
    main()
