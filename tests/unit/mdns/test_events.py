from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import get_args

import pytest

from icepath.machine import Event, Handle
from icepath.mdns.events import MdnsEvent, NameNotFound, NameResolved, NotFound


@pytest.mark.parametrize("kind", get_args(MdnsEvent))
def test_everything_the_machine_emits_is_an_event_with_slots(kind: type[Event]) -> None:
    assert issubclass(kind, Event)
    assert "__dict__" not in dir(kind)


def test_events_are_frozen_values() -> None:
    event = NameResolved(Handle(1), "a.local", ("192.168.1.10",))
    assert event == NameResolved(Handle(1), "a.local", ("192.168.1.10",))
    assert event != NameResolved(Handle(2), "a.local", ("192.168.1.10",))
    failed = NameNotFound(Handle(1), "a.local", NotFound.NO_ANSWER)
    assert failed != NameNotFound(Handle(1), "a.local", NotFound.LIMIT)
    with pytest.raises(FrozenInstanceError):
        failed.name = "b.local"  # type: ignore[misc]  # the point of the test


def test_reasons_read_as_people_say_them() -> None:
    assert [str(reason) for reason in NotFound] == [
        "bad-name",
        "no-link",
        "no-answer",
        "no-address",
        "several-addresses",
        "limit",
        "closed",
    ]
