"""The Binding client and server: whatever comes, and when, they keep the laws.

Bytes are operations: tests/machines/operations.py tells how, and which laws each step is judged by.
"""

from __future__ import annotations

import sys

from machines.operations import live


def one_input(data: bytes) -> None:
    """Checks one life of either; the first byte says whose."""
    live("binding responder" if data[:1] < b"\x80" else "binding client", data[1:])


def main() -> None:
    """Fuzzes until stopped: PYTHONPATH=tests python fuzz/target_binding.py fuzz/corpus/binding."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
