"""Deliberately broken cores: a seeded sample of mutants, and who notices them.

Theory of operation: cosmic-ray lists every mutant of ``sansip/transaction`` and
``sansip/proxy``; a seeded sample of them is tried, one at a time, in a clone of
the repository, so that the working tree is never touched. A mutant first meets
the trace suites (a second), and the unit tests only when it survives those.
Mutants of ``X | None`` are left out: annotations are never evaluated here.

    pip install cosmic-ray && python tools/mutation.py --sample 500

prints how many were killed, and each survivor's change, to be judged by a person
(``docs/mutation.md``).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sansip/transaction", "sansip/proxy")
ROOTS = (".", "adapters/sockets", "adapters/asyncio", "server", "conformance")
TESTS = ("tests/transaction", "tests/transport", "tests/proxy", "tests/routing", "tests/properties")


def configure(clone: Path) -> Path:
    """Write cosmic-ray's configuration into ``clone`` and return its path."""
    test = clone / "mutant.sh"
    tests = " ".join(folder for folder in TESTS if (clone / folder).is_dir())
    test.write_text(
        "set -e\n"
        f"{sys.executable} -m sansip_server conformance run --json >/dev/null 2>&1\n"
        f"{sys.executable} -m pytest -q -x -p no:cacheprovider {tests} >/dev/null 2>&1\n"
    )
    packages = ", ".join(f'"{package}"' for package in PACKAGES)
    config = clone / "mutation.toml"
    config.write_text(
        f"[cosmic-ray]\nmodule-path = [{packages}]\ntimeout = 120.0\nexcluded-modules = []\n"
        f'test-command = "sh {test}"\n[cosmic-ray.distributor]\nname = "local"\n'
    )
    return config


def sample(session: Path, count: int, seed: int) -> int:
    """Leave ``count`` mutants in ``session``, chosen by ``seed``; return how many are left."""
    with sqlite3.connect(session) as database:
        jobs = [
            job
            for job, operator in database.execute(
                "SELECT job_id, operator_name FROM mutation_specs ORDER BY job_id"
            )
            if "BitOr" not in operator
        ]
        # Job ids are random, so the order has to come from what they mutate.
        place = "module_path, start_pos_row, start_pos_col, operator_name, occurrence, operator_args"
        ordered = [job for (job,) in database.execute(f"SELECT job_id FROM mutation_specs ORDER BY {place}")]
        known = set(jobs)
        candidates = [job for job in ordered if job in known]
        chosen = set(random.Random(seed).sample(candidates, min(count, len(candidates))))
        dropped = [(job,) for job in ordered if job not in chosen]
        database.executemany("DELETE FROM mutation_specs WHERE job_id = ?", dropped)
        database.executemany("DELETE FROM work_items WHERE job_id = ?", dropped)
    return len(chosen)


def report(session: Path) -> int:
    """Print the outcome of every mutant; return the number of survivors."""
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "SELECT module_path, start_pos_row, operator_name, test_outcome, diff FROM mutation_specs"
            " JOIN work_results USING (job_id) ORDER BY module_path, start_pos_row"
        ).fetchall()
    survivors = [row for row in rows if row[3] and "surviv" in row[3].lower()]
    for path, row, operator, _, diff in survivors:
        print(f"\nsurvived: {path}:{row} {operator}")
        print(
            "\n".join(
                line
                for line in (diff or "").splitlines()
                if line[:1] in "+-" and line[:3] not in ("+++", "---")
            )
        )
    killed = len(rows) - len(survivors)
    print(
        f"\n{len(rows)} mutants, {killed} killed ({killed / max(1, len(rows)):.1%}),"
        f" {len(survivors)} survived"
    )
    return len(survivors)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, default=500, help="mutants to try")
    parser.add_argument("--seed", type=int, default=3261)
    parser.add_argument("--keep", type=Path, help="keep cosmic-ray's session file here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        clone = Path(directory) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        config = configure(clone)
        session = Path(directory) / "session.sqlite"
        roots = os.pathsep.join(str(clone / root) for root in ROOTS)
        environment = {**os.environ, "PYTHONPATH": roots, "PYTHONDONTWRITEBYTECODE": "1"}

        def run(*words: str) -> None:
            subprocess.run(
                [sys.executable, "-m", "cosmic_ray.cli", *words], cwd=clone, env=environment, check=True
            )

        # The unbroken core has to pass, or every mutant would count as killed.
        subprocess.run(["sh", str(clone / "mutant.sh")], cwd=clone, env=environment, check=True)
        run("init", str(config), str(session))
        print(f"{sample(session, options.sample, options.seed)} mutants to try", flush=True)
        run("exec", str(config), str(session))
        if options.keep:
            shutil.copy(session, options.keep)
        report(session)


if __name__ == "__main__":
    main()
