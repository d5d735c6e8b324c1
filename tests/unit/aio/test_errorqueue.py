"""What the kernel's error records mean."""

from __future__ import annotations

import errno

import pytest

from icepath.aio import errorqueue
from icepath.aio.errorqueue import EXTENDED_ERROR, QueuedError, decode, icmp_of

DESTINATION = ("192.0.2.1", 7)


def test_an_icmp_error_is_passed_on_as_it_is() -> None:
    value = EXTENDED_ERROR.pack(errno.EHOSTUNREACH, 2, 3, 13, 0, 0, 0) + bytes(16)
    assert decode(DESTINATION, value, ipv6=False) == QueuedError(DESTINATION, 3, 13, 0, is_local=False)


@pytest.mark.rfc("8656", "14")
def test_too_long_for_the_path_tells_the_mtu() -> None:
    value = EXTENDED_ERROR.pack(errno.EMSGSIZE, 3, 2, 0, 0, 1280, 0)
    assert decode(DESTINATION, value, ipv6=True) == QueuedError(DESTINATION, 2, 0, 1280, is_local=False)


def test_the_kernels_own_refusal_is_told_as_the_icmp_error_it_resembles() -> None:
    value = EXTENDED_ERROR.pack(errno.EMSGSIZE, 1, 0, 0, 0, 1500, 0)
    assert decode(DESTINATION, value, ipv6=False) == QueuedError(DESTINATION, 3, 4, 1500, is_local=True)


@pytest.mark.parametrize(
    ("number", "icmp", "icmp6"),
    [
        (errno.ENETUNREACH, (3, 0), (1, 0)),
        (errno.EHOSTUNREACH, (3, 1), (1, 3)),
        (errno.ECONNREFUSED, (3, 3), (1, 4)),
        (errno.EMSGSIZE, (3, 4), (2, 0)),
        (errno.EPERM, (3, 13), (1, 1)),
        (errno.EINVAL, (3, 0), (1, 0)),
    ],
)
def test_errnos_have_their_icmp_code(number: int, icmp: tuple[int, int], icmp6: tuple[int, int]) -> None:
    assert icmp_of(number, ipv6=False) == icmp
    assert icmp_of(number, ipv6=True) == icmp6


class Queue:
    """Stands for a socket with what recvmsg returns."""

    family = 2

    def __init__(self, *records: tuple[bytes, list[tuple[int, int, bytes]], int, object]) -> None:
        self.records = list(records)

    def recvmsg(self, *args: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        if not self.records:
            raise BlockingIOError
        return self.records.pop(0)


def test_records_that_are_not_errors_are_passed_over() -> None:
    value = EXTENDED_ERROR.pack(errno.ECONNREFUSED, 2, 3, 3, 0, 0, 0)
    queue = Queue(
        (b"", [], 0, DESTINATION),
        (b"", [(0, 11, b"short")], 0, DESTINATION),
        (b"", [(0, 11, value)], 0, None),
        (b"", [(0, 11, value)], 0, DESTINATION),
    )
    assert [error.icmp_code for error in errorqueue.drain(queue)] == [3]  # type: ignore[arg-type]  # a stand-in


def test_one_go_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errorqueue, "BATCH", 2)
    value = EXTENDED_ERROR.pack(errno.ECONNREFUSED, 2, 3, 3, 0, 0, 0)
    queue = Queue(*[(b"", [(0, 11, value)], 0, DESTINATION)] * 3)
    assert len(list(errorqueue.drain(queue))) == 2  # type: ignore[arg-type]  # a stand-in


def test_other_systems_have_no_error_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    queue = Queue((b"", [], 0, DESTINATION))
    errorqueue.enable(queue, is_ipv6=False)  # type: ignore[arg-type]  # a stand-in; it has no setsockopt
    assert list(errorqueue.drain(queue)) == []  # type: ignore[arg-type]  # a stand-in
