"""The TURN server: whatever clients, peers and its driver do, it keeps the laws.

Bytes are operations: tests/machines/operations.py tells how, and which laws each step is judged by.
"""

from __future__ import annotations

import sys

from machines.operations import live


def one_input(data: bytes) -> None:
    """Checks one life."""
    live("turn server", data)


def main() -> None:
    """Fuzzes until stopped: PYTHONPATH=tests python fuzz/target_turn_server.py fuzz/corpus/turn_server."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
