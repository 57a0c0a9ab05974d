"""A routing script on trial, in a process of its own: the server outlives anything that the script does."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from sansip_server import trial
from sansip_server.trial import try_route

GOOD = "def route(request): ...\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (GOOD, None),
        ("print('x' * 1_000_000)\n" + GOOD, None),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n" + GOOD, None),
        ("def route(request:\n", r"route\.py:1: .*never closed"),
        ("import neighbour\n" + GOOD, r"neighbour\.py:2: "),
        ("\nimport sys\nsys.exit(3)\n" + GOOD, r"route\.py:3: SystemExit"),
        ("\nraise OSError('no')\n", r"route\.py:2: OSError: no"),
        ("import os\nos._exit(0)\n", r"route\.py: it ends the process that imports it \(exit status 0\)"),
        ("import os\nos.kill(os.getpid(), 9)\n", r"route\.py: it ends the process .*exit status -9"),
        ("x = 1\n", r"there is no `route` in it"),
    ],
)
def test_what_a_script_does(tmp_path: Path, script: str, said: str | None) -> None:
    """The error names its own line; its output and its threads hold no one up."""
    (tmp_path / "neighbour.py").write_text("\nnonsense(\n")
    (tmp_path / "route.py").write_text(script)
    faults = try_route(tmp_path / "route.py")
    if said is None:
        assert faults == []
    else:
        [fault] = faults
        assert re.search(said, fault), fault


@pytest.mark.parametrize(
    "script", ["\nwhile True: pass\n", "import time\ntime.sleep(99)\n", "import other\n"]
)
def test_one_that_imports_for_ever(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given IMPORT_TIME, and the line where it was then is named, a neighbour's as well."""
    monkeypatch.setenv("SANSIP_IMPORT_TIME", "0.5")
    (tmp_path / "other.py").write_text("\nwhile True:\n    pass\n")
    (tmp_path / "route.py").write_text(script)
    [fault] = try_route(tmp_path / "route.py")
    assert re.search(r"(route\.py:2|other\.py:[23]): it was not imported within 0\.5 s", fault), fault
    assert trial.import_time() == 0.5


def test_nothing_is_left(tmp_path: Path) -> None:
    """Processes that the script starts end with its trial."""
    script = "import subprocess\nchild = subprocess.Popen(['sleep', '98765'])\n"
    (tmp_path / "route.py").write_text(
        script + f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n" + GOOD
    )
    assert try_route(tmp_path / "route.py") == []
    pid = (tmp_path / "pid").read_text()
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        threading.Event().wait(0.02)
    else:
        pytest.fail(f"process {pid} runs still")
