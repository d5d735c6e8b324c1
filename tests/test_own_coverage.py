"""The gate on each module's own tests can fail: it sees what only another module's tests run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Two modules, each judged by its own test file, and by the other's although both ran.
SCRIPT = """
import sys
sys.path.insert(0, "tools")
import own_coverage
net, timers = (module for module in own_coverage.modules() if module.name in ("net", "timers"))
measured, status, passed = own_coverage.run([net, timers])
assert status == 0 and passed > 20, (status, passed)
for module in (net, timers):
    assert own_coverage.missing(measured, module) == [], module
    other = module._replace(tests=timers.tests if module is net else net.tests)
    assert len(own_coverage.missing(measured, other)) > 5, other
"""


def test_what_another_modules_tests_run_does_not_count() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_name_without_a_module_is_refused() -> None:
    run = subprocess.run(
        [sys.executable, "tools/own_coverage.py", "ice.nothing"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "no module of ranks 0 to 5: ice.nothing" in run.stderr
