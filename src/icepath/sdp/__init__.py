"""ICE in session descriptions: offers and answers (RFC 8839), and what trickles after them (RFC 8840).

Pure functions from values to values: no I/O, no time. Who offers calls `make_offer` and then `read_answer`,
who answers `read_offer` and then `make_answer`; what a `Stream` says is what its agent is given.
"""

from __future__ import annotations

from icepath.sdp.lines import Destination as Destination
from icepath.sdp.lines import MediaLine as MediaLine
from icepath.sdp.lines import RemoteCandidate as RemoteCandidate
from icepath.sdp.offer_answer import make_answer as make_answer
from icepath.sdp.offer_answer import make_offer as make_offer
from icepath.sdp.offer_answer import needs_update as needs_update
from icepath.sdp.offer_answer import read_answer as read_answer
from icepath.sdp.offer_answer import read_offer as read_offer
from icepath.sdp.race import Judgement as Judgement
from icepath.sdp.race import Race as Race
from icepath.sdp.race import judge_race as judge_race
from icepath.sdp.session import Section as Section
from icepath.sdp.session import Session as Session
from icepath.sdp.session import parse_session as parse_session
from icepath.sdp.settling import Negotiated as Negotiated
from icepath.sdp.settling import Stream as Stream
from icepath.sdp.settling import Usage as Usage
from icepath.sdp.trickle import CONTENT_TYPE as CONTENT_TYPE
from icepath.sdp.trickle import INFO_PACKAGE as INFO_PACKAGE
from icepath.sdp.trickle import Fragment as Fragment
from icepath.sdp.trickle import FragmentStream as FragmentStream
from icepath.sdp.trickle import Trickled as Trickled
from icepath.sdp.trickle import TrickledStream as TrickledStream
from icepath.sdp.trickle import make_fragment as make_fragment
from icepath.sdp.trickle import parse_fragment as parse_fragment
from icepath.sdp.trickle import take_fragment as take_fragment
from icepath.sdp.writing import LocalStream as LocalStream
from icepath.sdp.writing import SelectedPair as SelectedPair
from icepath.sdp.writing import local_streams as local_streams
from icepath.sdp.writing import with_ice as with_ice
from icepath.sdp.writing import without_stream as without_stream
