"""Compiles the core (ranks 0 to 5) with mypyc into a copy of the package, for tests and benchmarks.

    python tools/compile_core.py build/compiled
    PYTHONPATH=build/compiled python -m pytest -o pythonpath="build/compiled tests" tests/unit tests/machines

The plain modules stay beside the compiled ones' names, so the same tests run against both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("wire", "stun", "turn", "mdns", "ice")
# errors.py is left out: exceptions with two bases stay ordinary classes, and none is on a packet's way.
MODULES = ("net", "machine", "timers", "outbox", "entropy")

SETUP = """
from mypyc.build import mypycify
from setuptools import setup
setup(name="icepath-compiled", packages=[], ext_modules=mypycify({paths!r}, opt_level="2"))
"""

MYPY = """[mypy]
strict = True
explicit_package_bases = True
namespace_packages = True
[mypy-precis_i18n.*]
ignore_missing_imports = True
"""

# Events are subclassed by plain code: the virtual network's, tests', users' machines.
OPEN_CLASS = "class Event:"
OPENED = "@mypyc_attr(allow_interpreted_subclasses=True)\n"
# A named tuple is no native class, so neither is what derives from one.
PLAIN_CLASS = "class TcpAddress(Address):"
PLAIN = "@mypyc_attr(native_class=False)\n"
FUTURE = "from __future__ import annotations\n"


def core_modules(package: Path) -> list[str]:
    """Returns the core's source files, relative to the package's parent, leaving out empty ones."""
    files = [package / f"{name}.py" for name in MODULES]
    for name in PACKAGES:
        files += sorted((package / name).rglob("*.py"))
    return [str(file.relative_to(package.parent)) for file in files if file.is_file() and file.stat().st_size > 0]


def decorate(module: Path, head: str, decorator: str) -> None:
    """Tells mypyc something about a class; the source needs no mypyc for it."""
    text = module.read_text(encoding="utf-8")
    if text.count(head) != 1 or text.count(FUTURE) != 1:
        raise SystemExit(f"{module}: expected {head!r} once")
    text = text.replace(head, decorator + head).replace(FUTURE, FUTURE + "\nfrom mypy_extensions import mypyc_attr\n")
    module.write_text(text, encoding="utf-8")


def main() -> None:
    """Copies the package, compiles the core in place, and checks that it is the compiled one that imports."""
    target = Path(sys.argv[1]).resolve()
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "icepath", target / "icepath", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    decorate(target / "icepath" / "machine.py", OPEN_CLASS, OPENED)
    decorate(target / "icepath" / "net.py", PLAIN_CLASS, PLAIN)
    paths = core_modules(target / "icepath")
    (target / "setup.py").write_text(SETUP.format(paths=paths))
    (target / "mypy.ini").write_text(MYPY)
    environment = dict(os.environ, MYPYPATH=str(target))
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(command, cwd=target, env=environment, check=True)
    check = "import icepath.ice.agent as a; print(a.__file__); assert a.__file__.endswith('.so')"
    subprocess.run([sys.executable, "-c", check], cwd=target, env=dict(os.environ, PYTHONPATH=str(target)), check=True)


if __name__ == "__main__":
    main()
