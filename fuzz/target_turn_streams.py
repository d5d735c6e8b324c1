"""The TURN client on byte streams: whatever its server, its driver and its user do, it keeps the laws.

Bytes are operations: tests/machines/operations.py tells how, and which laws each step is judged by.
"""

from __future__ import annotations

import sys

from machines.operations import live


def one_input(data: bytes) -> None:
    """Checks one life."""
    live("allocation on byte streams", data)


def main() -> None:
    """Fuzzes until stopped: PYTHONPATH=tests python fuzz/target_turn_streams.py fuzz/corpus/turn_streams."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
