"""Names: fresh ones have the form that is demanded, and nothing else has."""

from __future__ import annotations

import random
import uuid

import pytest

from icepath.mdns.names import is_candidate_name, is_multicast_name, local_name, names_a_candidate

NAME = "76c82649-02d6-4030-8aef-a2ba3a9019d5.local"


@pytest.mark.rfc("mdns-ice-candidates", "3.1.1")
def test_a_fresh_name_is_a_random_uuid_of_version_4_and_local() -> None:
    rng = random.Random(1)
    names = {local_name(rng.randbytes) for _ in range(100)}
    assert len(names) == 100
    for name in names:
        label, _, domain = name.partition(".")
        assert domain == "local"
        assert uuid.UUID(label).version == 4
        assert uuid.UUID(label).variant == uuid.RFC_4122
        assert is_candidate_name(name)


@pytest.mark.parametrize("byte", [0x00, 0xFF])
def test_version_and_variant_hold_whatever_is_drawn(byte: int) -> None:
    assert is_candidate_name(local_name(lambda length: bytes([byte]) * length))


@pytest.mark.rfc("mdns-ice-candidates", "3.2.1")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (NAME, True),
        ("printer.local", True),
        ("PRINTER.LOCAL.", True),
        ("a.printer.local", False),
        (".local", False),
        ("local", False),
        ("printer.localhost", False),
        ("printer.example.org", False),
        ("", False),
    ],
)
def test_one_label_before_local_is_asked_for_by_multicast(name: str, expected: bool) -> None:
    assert is_multicast_name(name) is expected


@pytest.mark.rfc("mdns-ice-candidates", "3.2.2")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (NAME, True),
        (NAME.upper(), True),
        ("printer.local", False),
        (NAME.replace("4030", "1030"), False),
        (NAME.replace("8aef", "caef"), False),
        (NAME + ".", False),
        ("x" + NAME, False),
        ("x." + NAME, False),
        (NAME.replace(".local", ".lokal"), False),
        (NAME + "\n", False),
    ],
)
def test_only_a_version_4_uuid_is_an_agents_name(name: str, expected: bool) -> None:
    assert is_candidate_name(name) is expected


def test_a_message_is_of_interest_when_it_has_such_a_label_anywhere() -> None:
    label = NAME.partition(".")[0].encode()
    assert names_a_candidate(b"junk\x24" + label + b"\x05local\x00")
    assert names_a_candidate(b"\x24" + label.upper())
    assert not names_a_candidate(b"\x25" + label)
    assert not names_a_candidate(b"\x07printer\x05local\x00")
    assert not names_a_candidate(b"")
