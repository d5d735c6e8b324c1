"""Session descriptions as lines: the same bytes back, sections, edits that touch nothing else, bounds."""

from __future__ import annotations

import re

import pytest

from icepath.errors import DecodeError, DecodeReason
from icepath.sdp.session import MAX_LINES, Section, Session, parse_session, split_sections
from icepath.wire.ice_lines import MAX_SECTIONS, MAX_TEXT_LENGTH

HEAD = "v=0\r\no=- 7 41 IN IP4 192.0.2.1\r\ns= \r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
AUDIO = "m=audio 5000/2 RTP/AVP 0\r\ni=voice\r\nc=IN IP4 192.0.2.1\r\na=mid:0\r\nX=odd\r\na=Sendrecv\r\n"
VIDEO = "m=video 5002 RTP/AVP 31\r\na=mid:1\r\na=rtcp-fb:31 nack\r\na=rtcp-fb:31 ccm\r\n"
TEXT = HEAD + AUDIO + VIDEO


class TestParsing:
    @pytest.mark.parametrize(
        "text",
        [
            TEXT,
            TEXT.replace("\r\n", "\n"),
            TEXT[:-2],
            TEXT + "\r\n",
            "v=0\n",
            "v=0",
            "v=0\r\ns=größer  \t\r\n\r\nm=audio 1 RTP/AVP 0",
            "v=0\nm=audio 1 RTP/AVP 0\r\nm=audio 2 RTP/AVP 0\n",
        ],
    )
    @pytest.mark.rfc("8866", "5")
    def test_gives_the_same_text_back(self, text: str) -> None:
        assert str(parse_session(text)) == text
        assert str(Session.parse(text)) == text

    def test_cuts_at_each_media_line(self) -> None:
        session = parse_session(TEXT)
        assert [str(section) for section in session.media] == [AUDIO, VIDEO]
        assert str(session.head) == HEAD
        assert [TEXT[session.offset_of(index) :][:7] for index in (0, 1)] == ["m=audio", "m=video"]
        assert session.media[0].media.port == 5000

    @pytest.mark.parametrize(
        ("text", "offset", "expected"),
        [
            ("", 0, "expected v=0"),
            ("v=1\r\n", 0, "expected v=0"),
            ("m=audio 1 RTP/AVP 0\r\n", 0, "expected v=0"),
            ("v=0\r\nnonsense\r\n", 5, "line at character 5: 'nonsense', expected x=value"),
            ("v=0\n s=x\n", 4, "expected x=value"),
            ("v=0\ns=a\rb\n", 4, "expected x=value"),
            ("v=0\ns=a\0b\n", 4, "expected x=value"),
            ("v=0\nm=audio\n", 4, "m= line at character 4: 'audio'"),
        ],
    )
    def test_refusals(self, text: str, offset: int, expected: str) -> None:
        with pytest.raises(DecodeError, match=expected) as caught:
            parse_session(text)
        assert (caught.value.reason, caught.value.offset) == (DecodeReason.BAD_SDP, offset)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("v=0\n" + "a=" + "x" * MAX_TEXT_LENGTH, f"allowed are {MAX_TEXT_LENGTH}"),
            ("v=0\n" + "a=x\n" * MAX_LINES, f"{MAX_LINES + 2} lines, allowed are {MAX_LINES}"),
            ("v=0\n" + "m=audio 1 RTP/AVP 0\n" * (MAX_SECTIONS + 1), f"allowed are {MAX_SECTIONS}"),
        ],
    )
    def test_bounds(self, text: str, expected: str) -> None:
        with pytest.raises(DecodeError, match=expected) as caught:
            parse_session(text)
        assert caught.value.reason is DecodeReason.TOO_LONG

    def test_what_is_within_the_bounds_is_read(self) -> None:
        text = "v=0\n" + "m=audio 1 RTP/AVP 0\n" * MAX_SECTIONS
        assert len(parse_session(text).media) == MAX_SECTIONS

    def test_fragments_have_no_head(self) -> None:
        head, *sections = split_sections("m=audio 9 RTP/AVP 0\r\na=mid:0\r\n")
        assert head == Section(())
        assert len(sections) == 1


class TestReading:
    def test_attributes_in_order_by_name_in_any_case(self) -> None:
        audio, video = parse_session(TEXT).media
        assert video.attributes("rtcp-fb") == ("31 nack", "31 ccm")
        assert (audio.attribute("sendrecv"), audio.attribute("recvonly")) == ("", None)
        located = list(audio.located_attributes())
        assert [AUDIO[at:].partition("\r")[0] for _, _, at in located] == ["a=mid:0", "a=Sendrecv"]

    def test_values_of_other_lines(self) -> None:
        assert parse_session(TEXT).media[0].values("c") == ("IN IP4 192.0.2.1",)

    def test_no_repr_shows_a_password(self) -> None:
        assert repr(parse_session("v=0\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n")) == (
            "Session(head=<Section 'v=0', 2 lines>, media=())"
        )
        assert repr(Section(())) == "<Section '', 0 lines>"

    def test_a_section_without_a_media_line_says_so(self) -> None:
        for section in (Section(()), parse_session(TEXT).head):
            with pytest.raises(DecodeError, match="m= line"):
                _ = section.media


class TestEditing:
    audio = parse_session(TEXT).media[0]

    def test_attributes_go_and_come_at_the_end(self) -> None:
        edited = self.audio.without("mid", "sendrecv").with_attributes("mid:9", "inactive")
        assert str(edited) == AUDIO.replace("a=mid:0\r\n", "").replace("a=Sendrecv\r\n", "a=mid:9\r\na=inactive\r\n")
        assert self.audio.with_attributes() is self.audio

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("m=audio 1 RTP/AVP 0\n", "m=audio 1 RTP/AVP 0\na=x\n"),
            ("m=audio 1 RTP/AVP 0", "m=audio 1 RTP/AVP 0\r\na=x\r\n"),
            ("m=audio 1 RTP/AVP 0\na=y", "m=audio 1 RTP/AVP 0\na=y\na=x\n"),
            ("m=audio 1 RTP/AVP 0\r\na=y\r", "m=audio 1 RTP/AVP 0\r\na=y\r\na=x\r\n"),
            ("", "a=x\r\n"),
        ],
    )
    def test_line_ends_are_those_around(self, text: str, expected: str) -> None:
        lines = tuple(re.findall(r"[^\n]*\n|[^\n]+", text))
        assert str(Section(lines).with_attributes("x")) == expected

    def test_connection_stands_behind_the_title(self) -> None:
        edited = self.audio.with_connection("IN IP6 ::")
        assert str(edited) == AUDIO.replace("IN IP4 192.0.2.1", "IN IP6 ::")
        bare = Section(("m=audio 1 RTP/AVP 0\r\n",)).with_connection("IN IP6 ::")
        assert str(bare) == "m=audio 1 RTP/AVP 0\r\nc=IN IP6 ::\r\n"

    def test_port_changes_and_the_number_of_ports_goes(self) -> None:
        assert str(self.audio.with_port(9)) == AUDIO.replace("5000/2", "9")

    @pytest.mark.rfc("3264", "5")
    def test_version_counts_up(self) -> None:
        session = parse_session(TEXT)
        assert str(session.with_next_version()) == TEXT.replace("7 41 IN", "7 42 IN")
        odd = parse_session("v=0\no=broken\n")
        assert odd.with_next_version() == odd

    def test_one_section_is_replaced(self) -> None:
        session = parse_session(TEXT)
        assert str(session.with_section(1, session.media[0])) == HEAD + AUDIO + AUDIO
