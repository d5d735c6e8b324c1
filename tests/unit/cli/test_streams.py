"""Standard input in lines, from pipes, files, and nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from icepath.cli import streams


@contextmanager
def standing_for_stdin(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with os.fdopen(descriptor) as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield


async def read_all() -> list[bytes]:
    return [line async for line in streams.lines()]


async def test_lines_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\r\ntwo\n\nlast")
    os.close(writing)
    with standing_for_stdin(reading, monkeypatch):
        assert await read_all() == [b"one", b"two", b"", b"last"]


async def test_a_file_and_a_line_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_LINE", 10)
    monkeypatch.setattr(streams, "CHUNK", 8)
    path = tmp_path / "input"
    path.write_bytes(b"a" * 20 + b"\nshort\n")
    with standing_for_stdin(os.open(path, os.O_RDONLY), monkeypatch):
        assert await read_all() == [b"a" * 16, b"a" * 4, b"short"]


async def test_more_than_may_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHUNK", 8)
    path = tmp_path / "input"
    path.write_bytes(b"1234567\n" * 100)
    with standing_for_stdin(os.open(path, os.O_RDONLY), monkeypatch):
        assert await read_all() == [b"1234567"] * 100


async def test_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_for_stdin(os.open(os.devnull, os.O_RDONLY), monkeypatch):
        assert await read_all() == []
    assert await read_all() == [], "closed"
    monkeypatch.setattr(sys, "stdin", None)
    assert await read_all() == []


async def test_what_cannot_be_read_is_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Directory:
        descriptor = os.open(tmp_path, os.O_RDONLY)

        def fileno(self) -> int:
            return self.descriptor

    monkeypatch.setattr(sys, "stdin", Directory())
    assert await read_all() == []
    os.close(Directory.descriptor)


def test_output_whose_reader_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        os.close(reading)
        streams.discard_stdout()
        output.write("unread")
