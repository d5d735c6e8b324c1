"""The reader of fragments and SDPs: sections, defaults, what is left out, bounds."""

from __future__ import annotations

import pytest

from icepath.errors import DecodeError, DecodeReason
from icepath.wire.ice_lines import MAX_CANDIDATES, MAX_SECTIONS, MAX_TEXT_LENGTH, Section, read_lines, streams

HOST = "candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host"
SECRET = "thispasswordissecret1234"
CREDENTIALS = f"a=ice-ufrag:abcd\na=ice-pwd:{SECRET}\n"


def sections(text: str) -> list[Section]:
    return streams(read_lines(text))


def mids(text: str) -> list[str | None]:
    return [section.mid for section in sections(text)]


def refusal(text: str) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        read_lines(text)
    return caught.value


# -- levels -------------------------------------------------------------------------------------------


def test_without_m_lines_the_text_is_one_section() -> None:
    (only,) = sections(f"{CREDENTIALS}a={HOST}\na=end-of-candidates\na=ice-options:trickle\n")
    assert (only.ufrag, len(only.candidates), only.end_of_candidates, only.options) == ("abcd", 1, True, ["trickle"])


@pytest.mark.rfc("8839", "5.4")
def test_session_values_are_defaults_and_media_values_win() -> None:
    first, second = sections(
        f"{CREDENTIALS}a=ice-pacing:20\na=ice-lite\na=ice-options:ice2\n"
        "m=audio 9 RTP/AVP 0\n"
        "m=video 9 RTP/AVP 0\na=ice-ufrag:efgh\na=ice-pacing:30\na=ice-options:trickle ice2\n"
    )
    assert (first.ufrag, second.ufrag) == ("abcd", "efgh")
    assert first.password == second.password
    assert (first.pacing, second.pacing) == (20, 30)
    assert first.lite
    assert second.lite
    assert (first.options, second.options) == (["ice2"], ["ice2", "trickle"])


@pytest.mark.rfc("8840", "4.4")
def test_end_of_candidates_at_session_level_holds_for_all() -> None:
    text = "{}m=audio 9 RTP/AVP 0\na=mid:0\na=end-of-candidates\nm=audio 9 RTP/AVP 0\na=mid:1\n"
    assert [one.end_of_candidates for one in sections(text.format(""))] == [True, False]
    assert [one.end_of_candidates for one in sections(text.format("a=end-of-candidates\n"))] == [True, True]


@pytest.mark.rfc("8839", "5.1")
def test_candidates_belong_to_their_section_alone() -> None:
    (only,) = sections(f"a={HOST}\nm=audio 9 RTP/AVP 0\na={HOST}\n")
    assert len(only.candidates) == 1


@pytest.mark.rfc("8840", "9.2")
def test_names_are_read_in_any_case_and_unknown_lines_ignored() -> None:
    (only,) = sections(
        f"a=ICE-UFRAG:abcd\r\nm=audio 9 RTP/AVP 0\r\na=Mid:x\r\na=CANDIDATE:{HOST[10:]}\r\na=End-Of-Candidates\r\n"
        "a=sendrecv\r\nb=AS:1\r\n\r\nnonsense\r\na=\r\n"
    )
    assert (only.ufrag, only.mid, len(only.candidates), only.end_of_candidates) == ("abcd", "x", 1, True)


@pytest.mark.rfc("8839", "5.1")
def test_unusable_candidates_are_skipped_and_counted() -> None:
    (only,) = sections(f"a=candidate:1 1 SCTP 1 192.0.2.1 9 typ host\na={HOST}\na=candidate:\n{HOST}\n")
    assert (len(only.candidates), only.ignored) == (2, 2)


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("trickle ice2", ["trickle", "ice2"]),
        ("trickle  trickle", ["trickle"]),
        ("ice2,trickle", ["ice2", "trickle"]),
        ("", []),
        ("rtp+ecn google-ice", ["rtp+ecn", "google-ice"]),
        ("x" * 257, []),
        ("mañana ok", ["ok"]),
        (" ".join(f"o{i}" for i in range(40)), [f"o{i}" for i in range(32)]),
    ],
)
def test_options(value: str, options: list[str]) -> None:
    (only,) = sections(f"a=ice-options:{value}\n")
    assert only.options == options


# -- what is left out ---------------------------------------------------------------------------------


@pytest.mark.rfc("8829", "4.1.1")
def test_bundled_sections_are_left_out() -> None:
    bundle = "a=group:BUNDLE 0 1 2\na=group:LS 3 4\na=group:\n"
    media = "".join(f"m=audio 9 RTP/AVP 0\na=mid:{mid}\n" for mid in range(5))
    assert mids(media) == ["0", "1", "2", "3", "4"]
    assert mids(bundle + media) == ["0", "3", "4"]
    assert mids(bundle.lower() + media) == ["0", "3", "4"]
    assert mids("a=group:BUNDLE 0 1\na=group:BUNDLE 3 4\n" + media) == ["0", "2", "3"]


def test_a_bundle_whose_first_section_is_not_there_goes_with_the_next() -> None:
    assert mids("a=group:BUNDLE 0 1 2\nm=audio 9 x 0\na=mid:1\nm=audio 9 x 0\na=mid:2\n") == ["1"]


@pytest.mark.rfc("8840", "4.4")
def test_rejected_sections_are_left_out_of_an_sdp_but_pseudo_lines_mean_nothing() -> None:
    media = "m=audio 0 RTP/AVP 0\na=mid:0\nm=audio 9 RTP/AVP 0\na=mid:1\nm=audio 9 x 0\na=mid:2\na=bundle-only\n"
    assert mids(f"v=0\n{media}") == ["1"]
    assert mids(media) == ["0", "1", "2"]
    assert mids("m=\na=mid:0\n") == ["0"]


def test_an_sdp_may_reject_everything() -> None:
    assert mids("v=0\nm=audio 0 RTP/AVP 0\n") == []


@pytest.mark.rfc("8839", "5.3")
def test_a_mismatch_is_noted() -> None:
    assert [one.has_mismatch for one in sections("m=audio 9 x 0\na=ice-mismatch\nm=audio 9 x 0\n")] == [True, False]


# -- what is refused ----------------------------------------------------------------------------------


@pytest.mark.rfc("8839", "5.4")
@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("a=ice-ufrag:abc", "a=ice-ufrag at character 4: ice-ufrag has 3 characters, allowed are 4 to 256"),
        ("a=ice-ufrag:" + "a" * 257, "ice-ufrag has 257 characters, allowed are 4 to 256"),
        ("a=ice-ufrag:ab d", "ice-ufrag has characters other than"),
        ("a=ice-pwd:" + SECRET[:21], "ice-pwd has 21 characters, allowed are 22 to 256"),
        ("a=ice-pwd:" + SECRET + "!", "ice-pwd has characters other than"),
        ("a=ice-pacing:fast", "a=ice-pacing at character 4: 'fast', expected 1 to 10 digits"),
        ("a=ice-pacing:٣", "a=ice-pacing at character 4: '٣', expected 1 to 10 digits"),
        ("a=ice-pacing:00000000001", "expected 1 to 10 digits"),
        ("a=ice-pacing:", "expected 1 to 10 digits"),
        ("a=mid:", "a=mid at character 4: expected 1 to 256 printable characters without spaces"),
        ("a=mid:a b", "a=mid at character 4"),
        ("a=mid:" + "m" * 257, "a=mid at character 4"),
    ],
)
def test_refusals_say_what_where_and_what_is_allowed(line: str, detail: str) -> None:
    error = refusal(f"v=0\n{line}\n")
    assert error.reason is DecodeReason.BAD_FRAGMENT
    assert detail in str(error)
    assert error.offset == 4
    assert SECRET[:21] not in str(error)


def test_credentials_of_any_allowed_length_are_read() -> None:
    (only,) = sections(f"a=ice-ufrag:{'a' * 256}\na=ice-pwd:{'b' * 22}\n")
    assert only.ufrag is not None
    assert len(only.ufrag) == 256


@pytest.mark.parametrize(
    "text",
    [
        " " * (MAX_TEXT_LENGTH + 1),
        f"a={HOST}\n" * (MAX_CANDIDATES + 1),
        "a=candidate:\n" * 10_000,
        "m=\n" * (MAX_SECTIONS + 1),
    ],
    ids=["characters", "candidates", "bad candidates", "sections"],
)
def test_texts_are_bounded(text: str) -> None:
    assert refusal(text).reason is DecodeReason.TOO_LONG


def test_the_greatest_number_of_candidates_is_read() -> None:
    (only,) = sections(f"a={HOST}\n" * MAX_CANDIDATES)
    assert len(only.candidates) == MAX_CANDIDATES
