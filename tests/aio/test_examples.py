"""Every example runs, and the README's programs are the ones that run."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from icepath.aio.interfaces import usable_addresses

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
LIMIT = 30

needs_an_interface = pytest.mark.skipif(
    not usable_addresses(), reason="no network interface but loopback, which ICE forbids by default"
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=LIMIT, check=False
    )


def program_of_the_readme() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    programs = [match[1] for match in re.finditer(r"```python\n(.*?)```", text, re.S) if "asyncio.run" in match[1]]
    assert len(programs) == 1
    return programs[0]


@needs_an_interface
def test_the_readme_s_program_runs_as_it_is() -> None:
    result = run("-c", program_of_the_readme())
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("b'hello' over direct")


def test_the_readme_s_program_is_the_example() -> None:
    def code(text: str) -> list[str]:
        lines = [line.partition("  #")[0].strip() for line in text.splitlines()]
        return [line for line in lines if line and not line.startswith(("#", '"""'))]

    assert code(program_of_the_readme()) == code((EXAMPLES / "readme.py").read_text(encoding="utf-8"))


@needs_an_interface
@pytest.mark.parametrize("name", ["readme.py", "signalling_by_hand.py"])
def test_an_example_in_one_process(name: str) -> None:
    result = run(str(EXAMPLES / name))
    assert (result.returncode, result.stderr) == (0, "")
    assert "hello" in result.stdout


@needs_an_interface
def test_negotiating_over_tcp() -> None:
    program = str(EXAMPLES / "negotiate_over_tcp.py")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, program, "listen", "0"], stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT
    ) as listening:
        try:
            assert listening.stdout is not None
            port = listening.stdout.readline().split()[-1]
            connecting = run(program, "connect", "127.0.0.1", port)
            output, errors = listening.communicate(timeout=LIMIT)
        finally:
            listening.kill()
    for text in (connecting.stdout, output):
        assert "connected: direct" in text
        assert "received: b'hello'" in text
    assert connecting.stderr == errors == ""


def test_a_driver_of_one_s_own() -> None:
    result = run(str(EXAMPLES / "own_driver.py"))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("is completed") == 2
    assert "bob received b'hello'" in result.stdout


def test_the_demonstration_needs_no_network() -> None:
    result = run(str(EXAMPLES / "demo.py"))
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout, "no colours into a pipe"
    assert result.stdout.count("=> connected") == 3
    assert "through the relay" in result.stdout


def python_of_the_documents() -> list[tuple[str, str]]:
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        (file.name, block)
        for file in files
        for block in re.findall(r"```python\n(.*?)```", file.read_text(encoding="utf-8"), re.S)
    ]


@pytest.mark.parametrize(("name", "block"), python_of_the_documents())
def test_python_in_the_documents_is_python(name: str, block: str) -> None:
    compile(block, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize(
    ("name", "block"), [(name, block) for name, block in python_of_the_documents() if "Encounter(" in block]
)
def test_the_encounter_of_the_documents_holds(name: str, block: str) -> None:
    names: dict[str, object] = {}
    exec(compile(block, name, "exec"), names)
    test = names["test_a_home_reaches_a_mobile_network"]
    assert callable(test)
    test()


def links_of_the_documents() -> list[tuple[str, str]]:
    files = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        (file.relative_to(ROOT).as_posix(), target)
        for file in files
        if file.name != "conformance.md"
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))
        if "://" not in target
    ]


@pytest.mark.parametrize(("file", "target"), links_of_the_documents())
def test_links_lead_somewhere(file: str, target: str) -> None:
    assert ((ROOT / file).parent / target).exists()


def test_every_example_is_run_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [example.name for example in EXAMPLES.glob("*.py") if example.name not in here] == []
