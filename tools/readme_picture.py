"""Puts the demonstration's two simulated encounters into README.md, as they are drawn today.

    python tools/readme_picture.py

They run in virtual time with a fixed seed, so the picture changes only when what happens does.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PICTURE = re.compile(r"(?<=```\n)1  Two homes.*?(?=\n```)", re.S)

sys.path.insert(0, str(ROOT / "examples"))


def main() -> None:
    """Replaces the picture."""
    from demo import a_home_and_a_mobile_network, two_homes

    from icepath.lab.picture import draw

    lines = [line.text for picture in (two_homes(), a_home_and_a_mobile_network()) for line in draw(picture)]
    text = README.read_text(encoding="utf-8")
    found = PICTURE.search(text)
    if found is None:
        sys.exit("README.md has no picture to replace")
    drawn = "\n".join(lines).strip()
    README.write_text(text[: found.start()] + drawn + text[found.end() :], encoding="utf-8")
    print("README.md: the picture is", "the same" if found.group() == drawn else "new")


if __name__ == "__main__":
    main()
