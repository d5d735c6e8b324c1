from __future__ import annotations

from icepath.entropy import IceCredentials, Secret
from icepath.ice.checklist import ChecklistState
from icepath.ice.pair import PairKey
from icepath.ice.stream import Generation, Remote, Stream
from icepath.net import Address
from unit.ice.builders import HOST, OWN, OWN_KEY, REMOTE, THEIR_KEY, THEIRS, candidate, local_candidate, loose_pair

OTHER = Address("198.51.100.8", 1)
NEW = IceCredentials("newufrag", Secret("new-password-of-24-charss"))


def restarted() -> Stream:
    """Makes a stream in the middle of a restart."""
    stream = Stream(1, 1, OWN)
    stream.previous, stream.current = stream.current, Generation(1, NEW)
    return stream


class TestGeneration:
    def test_begins_with_our_credentials_and_nothing_else(self) -> None:
        generation = Generation(0, OWN)
        assert generation.key.sha1(b"x") == OWN_KEY.sha1(b"x")
        assert generation.remote is None
        assert generation.started is None
        assert generation.failure is None

    def test_finds_a_local_candidate_by_address_and_component(self) -> None:
        generation = Generation(0, OWN)
        known = generation.candidates[HOST, 1] = local_candidate()
        assert generation.local_at(HOST, 1) is known
        assert generation.local_at(HOST, 2) is None
        assert generation.local_at(REMOTE, 1) is None

    def test_notes_a_limited_number_of_paths(self) -> None:
        generation = Generation(0, OWN)
        for remote in (REMOTE, REMOTE, OTHER, HOST):
            generation.prove(HOST, remote, 2)
        assert generation.proven == {PairKey(HOST, REMOTE), PairKey(HOST, OTHER)}


def test_a_remote_keeps_the_key_of_its_password() -> None:
    remote = Remote(THEIRS.ufrag, THEIRS.password, options=("ice2",), pacing=5, is_lite=True)
    assert remote.key.sha1(b"x") == THEIR_KEY.sha1(b"x")
    assert (remote.ufrag, remote.options, remote.pacing, remote.is_lite) == (THEIRS.ufrag, ("ice2",), 5, True)


class TestStream:
    def test_has_one_generation_but_during_a_restart_two_the_newer_first(self) -> None:
        stream = Stream(1, 2, OWN)
        assert stream.generations() == (stream.current,)
        assert list(stream.components) == [1, 2]
        stream = restarted()
        assert stream.previous is not None
        assert stream.generations() == (stream.current, stream.previous)

    def test_finds_a_generation_by_our_ufrag(self) -> None:
        stream = restarted()
        assert stream.by_ufrag(NEW.ufrag) is stream.current
        assert stream.by_ufrag(OWN.ufrag) is stream.previous
        assert stream.by_ufrag(THEIRS.ufrag) is None

    def test_knows_the_paths_that_checks_came_along_in_either_session(self) -> None:
        stream = Stream(1, 1, OWN)
        stream.current.prove(HOST, REMOTE, 9)
        stream.previous, stream.current = stream.current, Generation(1, THEIRS)
        stream.current.prove(HOST, OTHER, 9)
        assert stream.has_proven(HOST, REMOTE)
        assert stream.has_proven(HOST, OTHER)
        assert not stream.has_proven(OTHER, REMOTE)

    def test_finds_the_newest_pair_of_a_path(self) -> None:
        stream = restarted()
        assert stream.previous is not None
        old, new, gone = loose_pair(1), loose_pair(1), loose_pair(2)
        stream.previous.checklist.pairs[old.key] = old
        assert stream.pair_at(old.local.base, old.remote_address) is old
        stream.current.checklist.pairs[new.key] = new
        assert stream.pair_at(old.local.base, old.remote_address) is new
        assert stream.pair_at(gone.local.base, gone.remote_address) is None

    def test_is_selected_when_its_current_checklist_is_completed(self) -> None:
        stream = Stream(1, 1, OWN)
        before = stream.is_selected
        stream.current.checklist.state = ChecklistState.COMPLETED
        assert (before, stream.is_selected) == (False, True)

    def test_is_usable_when_every_component_has_a_pair(self) -> None:
        stream = Stream(1, 2, OWN)
        stream.active[1] = loose_pair(1)
        before = stream.is_usable
        stream.active[2] = loose_pair(2)
        assert (before, stream.is_usable) == (False, True)


def test_candidates_learnt_from_checks_are_counted_apart() -> None:
    generation = Generation(0, OWN)
    generation.remote_candidates[REMOTE, 1] = candidate()
    learnt = (HOST, 1)
    generation.remote_candidates[learnt] = candidate(HOST)
    generation.learnt |= {learnt}
    assert generation.count_announced() == 1


def test_changes_of_the_pair_in_use_are_counted() -> None:
    stream = Stream(1, 2, OWN)
    for component, pair_id in ((1, 0), (1, 7), (1, 7), (2, 8), (1, 9), (1, 0), (1, 0)):
        stream.count_change(component, pair_id)
    assert {component: changes for component, (_, changes) in stream.changes.items()} == {1: 3, 2: 1}
