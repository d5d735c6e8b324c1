"""Connects two computers behind NATs as directly as possible, and says why when it cannot.

The public names, each fetched from its room when it is first asked for (PEP 562), so that `import icepath`
costs nothing and a program that only decodes never loads a socket. Everything else is reached through its
package. A name stands here when it works; `tests/typing/test_public_names.py` keeps this table, the imports
for type-checkers and `dir(icepath)` the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icepath.aio.config import Config as Config
    from icepath.aio.connection import Connection as Connection
    from icepath.aio.endpoint import Endpoint as Endpoint
    from icepath.aio.events import CandidateGathered as CandidateGathered
    from icepath.aio.events import Event as Event
    from icepath.aio.events import GatheringCompleted as GatheringCompleted
    from icepath.aio.events import PairSelected as PairSelected
    from icepath.aio.events import PairValidated as PairValidated
    from icepath.aio.events import PolicyFailed as PolicyFailed
    from icepath.aio.events import Restarted as Restarted
    from icepath.aio.events import Role as Role
    from icepath.aio.events import RoleChanged as RoleChanged
    from icepath.aio.events import ServerFailed as ServerFailed
    from icepath.aio.events import StateChanged as StateChanged
    from icepath.aio.path import CandidatePair as CandidatePair
    from icepath.aio.servers import IceServer as IceServer
    from icepath.errors import Cause as Cause
    from icepath.errors import ConnectFailed as ConnectFailed
    from icepath.errors import ConnectionClosed as ConnectionClosed
    from icepath.errors import ConnectionFailure as ConnectionFailure
    from icepath.errors import DecodeError as DecodeError
    from icepath.errors import IcepathError as IcepathError
    from icepath.errors import InvalidArgument as InvalidArgument
    from icepath.errors import InvalidState as InvalidState
    from icepath.ice.events import AgentSnapshot as AgentSnapshot
    from icepath.ice.events import State as State
    from icepath.net import Address as Address
    from icepath.wire.candidate_line import Candidate as Candidate
    from icepath.wire.fragment import Description as Description

_MODULES = {
    "Address": "icepath.net",
    "AgentSnapshot": "icepath.ice.events",
    "Candidate": "icepath.wire.candidate_line",
    "CandidateGathered": "icepath.aio.events",
    "CandidatePair": "icepath.aio.path",
    "Cause": "icepath.errors",
    "Config": "icepath.aio.config",
    "ConnectFailed": "icepath.errors",
    "Connection": "icepath.aio.connection",
    "ConnectionClosed": "icepath.errors",
    "ConnectionFailure": "icepath.errors",
    "DecodeError": "icepath.errors",
    "Description": "icepath.wire.fragment",
    "Endpoint": "icepath.aio.endpoint",
    "Event": "icepath.aio.events",
    "GatheringCompleted": "icepath.aio.events",
    "IceServer": "icepath.aio.servers",
    "IcepathError": "icepath.errors",
    "InvalidArgument": "icepath.errors",
    "InvalidState": "icepath.errors",
    "PairSelected": "icepath.aio.events",
    "PairValidated": "icepath.aio.events",
    "PolicyFailed": "icepath.aio.events",
    "Restarted": "icepath.aio.events",
    "Role": "icepath.aio.events",
    "RoleChanged": "icepath.aio.events",
    "ServerFailed": "icepath.aio.events",
    "State": "icepath.ice.events",
    "StateChanged": "icepath.aio.events",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
