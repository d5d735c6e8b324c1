"""Walks one subject through many schedules and prints each kind of broken law once, most frequent first.

PYTHONPATH=src:tests python -m machines.survey agent 500
"""

from __future__ import annotations

import re
import sys
from collections import Counter

from machines.laws import LawBroken
from machines.subjects import SUBJECTS
from machines.walks import check_schedule


def survey(name: str, schedules: int) -> list[str]:
    """Returns a line per kind of broken law: how often, and the first that was seen."""
    (subject,) = (subject for subject in SUBJECTS if subject.name == name)
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for seed in range(schedules):
        try:
            check_schedule(subject, seed)
        except LawBroken as broken:
            kind = re.sub(r"Address\(.*?\)|[0-9a-f]{16,}|[\d.]+", "#", str(broken))[:120]
            counts[kind] += 1
            first.setdefault(kind, str(broken)[:400])
    return [f"{count} of {schedules}: {first[kind]}" for kind, count in counts.most_common()]


if __name__ == "__main__":
    print("\n".join(survey(sys.argv[1], int(sys.argv[2]))))
