"""Server URIs: any text is read or refused with DecodeError, and what is read prints to a text that reads the same."""

from __future__ import annotations

import sys

from icepath.errors import DecodeError, DecodeReason
from icepath.wire.uri import parse_server_uri


def one_input(data: bytes) -> None:
    """Checks one URI."""
    try:
        uri = parse_server_uri(data.decode("utf-8", "replace"))
    except DecodeError as error:
        check_refusal(error)
        return
    assert parse_server_uri(str(uri)) == uri
    assert 0 < (uri.port or uri.default_port) <= 0xFFFF


def check_refusal(error: DecodeError) -> None:
    """Checks that a refusal is of the right kind, and short whatever it quotes."""
    assert error.reason is DecodeReason.BAD_URI
    assert len(str(error)) < 300


def main() -> None:
    """Fuzzes until stopped: python fuzz/target_uri.py fuzz/corpus/uri."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
