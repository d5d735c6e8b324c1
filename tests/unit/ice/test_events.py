from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import get_args

import pytest

from icepath.errors import Cause
from icepath.ice.events import AgentEvent, State, StateChanged
from icepath.machine import Event


def test_states_are_the_words_of_rtcicetransportstate() -> None:
    w3c = {"new", "checking", "connected", "completed", "disconnected", "failed", "closed"}
    assert {state.value for state in State} == w3c


@pytest.mark.parametrize("kind", get_args(AgentEvent))
def test_everything_an_agent_emits_is_an_event_with_slots(kind: type[Event]) -> None:
    assert issubclass(kind, Event)
    assert "__dict__" not in dir(kind)


def test_events_are_frozen_values() -> None:
    event = StateChanged(State.FAILED, Cause.NO_ANSWER)
    assert event == StateChanged(State.FAILED, Cause.NO_ANSWER)
    with pytest.raises(FrozenInstanceError):
        event.cause = None  # type: ignore[misc]  # the point of the test
