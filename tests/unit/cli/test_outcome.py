"""Exit statuses: each way a command can end has its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import typer

from icepath.cli.outcome import Exit, run_command
from icepath.cli.report import Report
from icepath.errors import Cause, ConnectFailed, DecodeError, DecodeReason, InvalidArgument


@pytest.fixture(autouse=True)
def quiet_logger() -> Iterator[None]:
    logger = logging.getLogger("icepath")
    before = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def status(result: Exit | BaseException, *, as_json: bool = True, verbose: bool = False) -> int:
    async def work(report: Report) -> Exit:
        if isinstance(result, Exit):
            report.show("shown")
            report.line("result", ok=True)
            return result
        raise result

    with pytest.raises(typer.Exit) as end:
        run_command(work, Report(json=as_json), verbose=verbose)
    return end.value.exit_code


@pytest.mark.parametrize(
    ("result", "expected", "cause"),
    [
        (InvalidArgument("no"), 2, "usage"),
        (DecodeError(DecodeReason.BAD_URI, "no"), 2, "usage"),
        (ConnectFailed(Cause.NO_ANSWER, "12 checks"), 1, "no-answer"),
        (PermissionError(13, "Permission denied"), 3, "system"),
    ],
)
def test_failures(result: BaseException, expected: int, cause: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(result) == expected
    said = capsys.readouterr()
    last = json.loads(said.out.splitlines()[-1])
    assert (last["type"], last["ok"], last["cause"]) == ("result", False, cause)
    assert said.err.strip()


def test_results(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(Exit.NO, as_json=False) == 1
    assert capsys.readouterr().out == "shown\n"
    assert status(Exit.YES) == 0
    assert json.loads(capsys.readouterr().out) == {"type": "result", "ok": True}


def test_interrupted() -> None:
    assert status(KeyboardInterrupt()) == 130


def test_a_reader_that_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    discarded: list[bool] = []
    monkeypatch.setattr("icepath.cli.outcome.discard_stdout", lambda: discarded.append(True))
    assert status(BrokenPipeError()) == 3
    assert discarded == [True]


def test_verbose_logs_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    status(Exit.YES)
    logging.getLogger("icepath").warning("unheard")
    assert "unheard" not in capsys.readouterr().err
    status(Exit.YES, verbose=True)
    logging.getLogger("icepath").debug("heard")
    assert "DEBUG icepath: heard" in capsys.readouterr().err
