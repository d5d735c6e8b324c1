"""Who won the race between the updated offer and our checks (RFC 8839 §4.4.2, Appendix B)."""

from __future__ import annotations

import pytest

from icepath.ice.events import PairSnapshot
from icepath.ice.pair import PairState
from icepath.net import Address
from icepath.sdp.lines import Destination, RemoteCandidate
from icepath.sdp.race import Judgement, Race, judge_race
from icepath.sdp.settling import Stream, Usage
from icepath.sdp.writing import SelectedPair
from icepath.wire.candidate_line import Candidate, parse_candidate

pytestmark = pytest.mark.rfc("8839", "4.4.2")

OURS = parse_candidate("1 1 UDP 2130706431 192.0.2.1 5000 typ host")
OTHER = parse_candidate("2 1 UDP 2130706430 192.0.2.2 5000 typ host")
RTCP = parse_candidate("1 2 UDP 2130706430 192.0.2.1 5001 typ host")
REMOTE = Address("198.51.100.3", 9000)
REMOTE_RTCP = Address("198.51.100.3", 9001)
NAMED = (RemoteCandidate(1, Address("192.0.2.1", 5000)), RemoteCandidate(2, Address("192.0.2.1", 5001)))


def offered(*named: RemoteCandidate, destinations: tuple[Destination, ...] = ()) -> Stream:
    told = destinations or (Destination(*REMOTE), Destination(*REMOTE_RTCP))
    return Stream(0, None, Usage.ICE, None, told, 2, rtcp_mux=False, carrier=0, remote_candidates=named)


def pair(
    local: Candidate = OURS,
    remote: Address = REMOTE,
    *,
    state: PairState = PairState.SUCCEEDED,
    is_valid: bool = True,
) -> PairSnapshot:
    return PairSnapshot(
        1, local.component, local, local, local.address, remote, state, 1,
        is_valid, False, False, None, 0.0, 0, 0, 0, 0, 0, None,
    )  # fmt: skip


def test_when_every_pair_is_valid_the_answer_may_be_given_at_once() -> None:
    judgement = judge_race(offered(*NAMED), [pair(), pair(RTCP, REMOTE_RTCP)])
    assert judgement == Judgement(Race.WON, (SelectedPair(1, OURS, REMOTE), SelectedPair(2, RTCP, REMOTE_RTCP)))


def test_an_offer_that_names_none_has_nothing_to_wait_for() -> None:
    assert judge_race(offered(), [pair()]) == Judgement(Race.WON)


@pytest.mark.parametrize(
    ("pairs", "race"),
    [
        ([pair(state=PairState.IN_PROGRESS, is_valid=False)], Race.WAIT),
        ([pair(OTHER), pair(state=PairState.WAITING, is_valid=False)], Race.WAIT),
        ([], Race.WAIT),
        ([pair(state=PairState.FAILED, is_valid=False)], Race.LOST),
        (
            [
                pair(state=PairState.FAILED, is_valid=False),
                pair(OTHER, state=PairState.IN_PROGRESS, is_valid=False),
            ],
            Race.WAIT,
        ),
        ([pair(state=PairState.FAILED, is_valid=False), pair(remote=REMOTE_RTCP)], Race.LOST),
    ],
)
def test_a_losing_pair_waits_for_checks_or_the_network_has_failed(pairs: list[PairSnapshot], race: Race) -> None:
    assert judge_race(offered(NAMED[0]), pairs) == Judgement(race)


def test_one_component_that_failed_loses_for_all() -> None:
    pairs = [pair(), pair(RTCP, REMOTE_RTCP, state=PairState.FAILED, is_valid=False)]
    assert judge_race(offered(*NAMED), pairs) == Judgement(Race.LOST)
    waiting = [
        pair(state=PairState.FAILED, is_valid=False),
        pair(RTCP, REMOTE_RTCP, state=PairState.FROZEN, is_valid=False),
    ]
    assert judge_race(offered(*NAMED), waiting) == Judgement(Race.WAIT)


@pytest.mark.parametrize(
    "destinations",
    [(Destination("0.0.0.0", 9),), (Destination("host.example", 9000),), (Destination(*REMOTE),)],
)
def test_an_offer_without_a_default_destination_names_no_pair(destinations: tuple[Destination, ...]) -> None:
    named = NAMED if len(destinations) == 1 and destinations[0] == Destination(*REMOTE) else NAMED[:1]
    assert judge_race(offered(*named, destinations=destinations), [pair()]) == Judgement(Race.LOST)
