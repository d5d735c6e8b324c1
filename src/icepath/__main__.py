"""`python -m icepath` is the command `icepath`."""

from __future__ import annotations

import sys

from icepath.cli import main

if __name__ == "__main__":
    sys.exit(main())
