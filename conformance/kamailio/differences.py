"""Prints where a target differs from the core: trace, level, section, reason.

Theory of operation: two outputs of ``sansip conformance run --json``. A trace of
level "policy" tests a choice of ours and is no deviation, so it is listed apart.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(theirs_file: str, ours_file: str) -> None:
    """Print the differences as a Markdown table."""
    theirs = json.loads(Path(theirs_file).read_text())
    ours = {one["id"]: one for one in json.loads(Path(ours_file).read_text())["traces"]}
    failed = [one for one in theirs["traces"] if one["outcome"] == "fail"]
    totals = theirs["totals"]
    print(f"{totals['pass']} pass, {totals['fail']} fail, {totals['skip']} were skipped.\n")
    for policy in (False, True):
        chosen = [one for one in failed if (one["level"] in ("policy", "MAY")) == policy]
        heading = "Where the RFC leaves the choice" if policy else "Deviations"
        print(f"## {heading} ({len(chosen)})\n")
        print("| trace | level | section | what happened | core |\n|---|---|---|---|---|")
        for one in chosen:
            sections = "; ".join(one["broken"] or one["rfc"])
            core = ours.get(one["id"], {}).get("outcome", "not run")
            reason = one["reason"].replace("|", "\\|")
            print(f"| {one['id']} | {one['level']} | {sections} | {reason} | {core} |")
        print()


if __name__ == "__main__":
    main(*sys.argv[1:3])
