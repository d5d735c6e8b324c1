"""How to start this suite's own Python programs as child processes."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"


def module_command(module: str, interpreter: str = sys.executable) -> list[str]:
    """The command line that runs a module found under tests/ with an interpreter."""
    return ["env", f"PYTHONPATH={TESTS}:{TESTS.parent / 'src'}", "PYTHONDONTWRITEBYTECODE=1", interpreter, "-m", module]
