"""The settings that all tests share: how hard hypothesis tries.

Theory of operation: three profiles, chosen by ``SANSIP_HYPOTHESIS`` or, without
it, by ``CI``. ``ci`` is bounded and derandomised, so that a build that was green
yesterday is not red today for luck; ``dev`` searches anew each time; ``thorough``
is for an evening. No profile has a deadline: the machine may be busy, and no test
here asserts on wall-clock time. Servers that tests start have their control sockets in a folder of this run
(``sansip_server.control``), so that nobody's `sansip ctl` meets them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "dev", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("SANSIP_HYPOTHESIS") or ("ci" if os.environ.get("CI") else "dev"))

_SOCKETS = tempfile.mkdtemp(prefix="sansip-")
atexit.register(shutil.rmtree, _SOCKETS, ignore_errors=True)
os.environ["RUNTIME_DIRECTORY"] = _SOCKETS
