"""Hosts behind one-to-one translation that say so themselves: reached without any server."""

from __future__ import annotations

import pytest

from icepath.ice.events import State
from icepath.ice.rewriting import RewriteMode, RewriteRule
from icepath.lab.encounter import Encounter, Plan
from icepath.wire.candidate_line import CandidateType

# Side A of the virtual network and the address of the router in front of it, which lets in what comes.
INSIDE, OUTSIDE = "192.168.1.10", "11.1.0.1"


def run(*rules: RewriteRule, lite: bool = False) -> Encounter:
    encounter = Encounter(Plan("eif", "apdf", has_stun=False, has_turn=False, rewrite=rules, lite=(lite, False)))
    encounter.run(seconds=5.0, settle=True)
    return encounter


@pytest.mark.parametrize(
    ("mode", "kind"), [(RewriteMode.ADD, CandidateType.SERVER_REFLEXIVE), (RewriteMode.REPLACE, CandidateType.HOST)]
)
def test_a_host_behind_one_to_one_translation_is_reached_without_any_server(
    mode: RewriteMode, kind: CandidateType
) -> None:
    encounter = run(RewriteRule("192.168.0.0/16", OUTSIDE, mode))
    assert encounter.a.state is encounter.b.state is State.COMPLETED
    assert encounter.b.pair is not None
    assert encounter.a.pair is not None
    assert (encounter.b.pair.remote.type, encounter.b.pair.remote_address.host) == (kind, OUTSIDE)
    # What the other side saw is what was told: nothing was learnt about ourselves.
    assert (encounter.a.pair.local.type, encounter.a.pair.local.host) == (kind, OUTSIDE)
    assert encounter.a.pair.local_base.host == INSIDE


def test_what_is_replaced_is_told_nowhere() -> None:
    encounter = run(RewriteRule(INSIDE, OUTSIDE, RewriteMode.REPLACE))
    assert INSIDE not in str(encounter.a.agent.snapshot().local[0])


def test_without_a_rule_they_do_not_find_each_other() -> None:
    assert run().b.state is not State.COMPLETED
