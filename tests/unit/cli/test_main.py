"""The command `icepath` as a whole: which subcommand runs, and with which exit status."""

from __future__ import annotations

import builtins
import importlib.metadata
import sys

import pytest

from icepath.cli import main


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("icepath ")


def test_the_version_of_a_checkout(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert main(["--version"]) == 0
    assert "not installed" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["gather", "--help"], ["agent", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(arguments)
    except SystemExit as end:  # argparse's way
        status = int(end.code or 0)
    assert status == 0
    assert "sage" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["bogus"], ["gather", "--bogus"], ["gather", "--timeout", "0"], ["gather", "--server", "http://a"]],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    capsys.readouterr()


def test_the_command_line_s_own_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["icepath", "--version"])
    assert main() == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_do(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(missing, monkeypatch)
    assert main(["gather"]) == 3
    assert "pip install 'icepath[tool]'" in capsys.readouterr().err


def test_another_missing_module_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    without("icepath.cli.app", monkeypatch)
    with pytest.raises(ModuleNotFoundError):
        main(["gather"])


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a module impossible to import."""
    original = builtins.__import__

    def refuse(module: str, *rest: object, **named: object) -> object:
        parts: object = rest[2] if len(rest) > 2 else None
        names = [module, *(f"{module}.{part}" for part in parts)] if isinstance(parts, tuple) else [module]
        if any(each == name or each.startswith(f"{name}.") for each in names):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return original(module, *rest, **named)  # type: ignore[arg-type]  # passed through

    for loaded in [key for key in sys.modules if key.startswith("icepath.cli.")]:
        monkeypatch.delitem(sys.modules, loaded)
    import icepath.cli

    for attribute in ("app", "report", "outcome"):
        monkeypatch.delattr(icepath.cli, attribute, raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
