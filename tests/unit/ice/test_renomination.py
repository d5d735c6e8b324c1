from __future__ import annotations

import pytest

from icepath.ice.renomination import MAX_UINT24, MAX_UINT32, Renomination, agree, nomination_of
from icepath.wire.attributes import Attribute, GoogNomination, Nomination
from unit.ice.builders import check_from_remote


def second() -> Renomination:
    return Renomination(is_first_form=False)


def first() -> Renomination:
    return Renomination(is_first_form=True)


@pytest.mark.rfc("renomination", "3.2")
@pytest.mark.parametrize(
    ("options", "is_first_form"),
    [
        (("ice2", "renomination2"), False),
        (("renomination", "renomination2"), False),
        (("renomination", "trickle"), True),
    ],
)
def test_the_newest_form_that_the_peer_announces_is_used(options: tuple[str, ...], is_first_form: bool) -> None:
    agreed = agree(options)
    assert agreed is not None
    assert agreed.is_first_form is is_first_form


@pytest.mark.parametrize("options", [(), ("ice2", "trickle"), ("renomination3",)])
def test_without_the_peers_word_there_is_none(options: tuple[str, ...]) -> None:
    assert agree(options) is None


class TestSending:
    @pytest.mark.rfc("renomination", "3.3")
    def test_each_request_of_a_component_carries_more_than_any_before(self) -> None:
        renomination = second()
        assert [renomination.next(1) for _ in range(3)] == [Nomination(1), Nomination(2), Nomination(3)]
        assert renomination.next(2) == Nomination(1)

    @pytest.mark.rfc("renomination-02", "4")
    def test_the_first_form_is_the_deployed_attribute(self) -> None:
        assert first().next(1) == GoogNomination(1)

    @pytest.mark.parametrize(("renomination", "most"), [(first(), MAX_UINT24), (second(), MAX_UINT32)])
    def test_there_is_an_end(self, renomination: Renomination, most: int) -> None:
        assert renomination.accepts(1, most - 1, use_candidate=True, is_early=False)
        assert not renomination.is_exhausted(1)
        assert renomination.next(1).value == most
        assert renomination.is_exhausted(1)
        assert renomination.next(1).value == most

    def test_only_the_last_one_sent_counts(self) -> None:
        renomination = second()
        renomination.next(1)
        assert renomination.is_latest(1, 1)
        renomination.next(1)
        assert not renomination.is_latest(1, 1)
        assert renomination.is_latest(1, 2)


class TestAccepting:
    @pytest.mark.parametrize("renomination", [first(), second()])
    @pytest.mark.rfc("renomination", "3.3")
    @pytest.mark.rfc("renomination-02", "4")
    def test_the_largest_value_wins(self, renomination: Renomination) -> None:
        told = [renomination.accepts(1, value, use_candidate=True, is_early=False) for value in (5, 5, 4, 0, 9)]
        assert told == [True, False, False, False, True]
        assert renomination.accepts(2, 1, use_candidate=True, is_early=False)

    @pytest.mark.rfc("renomination", "3.3")
    def test_without_a_value_the_second_form_takes_an_early_check_only(self) -> None:
        assert not second().accepts(1, None, use_candidate=True, is_early=False)
        assert second().accepts(1, None, use_candidate=True, is_early=True)

    @pytest.mark.rfc("renomination-02", "4")
    def test_without_a_value_the_first_form_takes_the_last_until_there_was_one(self) -> None:
        renomination = first()
        assert renomination.accepts(1, None, use_candidate=True, is_early=False)
        assert renomination.accepts(1, None, use_candidate=True, is_early=False)
        assert not renomination.accepts(1, None, use_candidate=False, is_early=False)
        assert renomination.accepts(1, 1, use_candidate=True, is_early=False)
        assert not renomination.accepts(1, None, use_candidate=True, is_early=False)

    def test_a_value_alone_nominates_by_the_first_form(self) -> None:
        assert first().accepts(1, 1, use_candidate=False, is_early=False)
        assert not second().accepts(1, 1, use_candidate=False, is_early=False)


@pytest.mark.parametrize(
    ("extra", "value"),
    [((), None), ((Nomination(7),), 7), ((GoogNomination(8),), 8), ((GoogNomination(8), Nomination(7)), 7)],
)
def test_the_value_is_read_from_either_attribute(extra: tuple[Attribute, ...], value: int | None) -> None:
    assert nomination_of(check_from_remote(extra=extra)) == value
