"""Coverage-guided fuzzing with atheris, where it has a wheel (pip install atheris).

python -m tests.fuzz.atheris_run stack -max_total_time=3600 /tmp/work tests/fuzz/corpus/stack
"""

from __future__ import annotations

import sys


def main() -> None:
    """Hand a target to libFuzzer; its options follow the target's name."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # a library without types

    with atheris.instrument_imports(include=["sansip", "sansip_conformance"]):
        from tests.fuzz.targets import TARGETS

    name = sys.argv.pop(1)
    run = TARGETS[name]
    atheris.Setup(sys.argv, lambda data: run(bytes(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
