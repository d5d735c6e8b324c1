from __future__ import annotations

import pytest

from icepath.net import Address
from icepath.turn.server.config import TurnServerConfig
from icepath.turn.server.policy import PeerPolicy, Plan, granted_lifetime, plan_allocation
from icepath.wire.attributes import (
    AdditionalAddressFamily,
    AddressErrorCode,
    AddressFamily,
    Attribute,
    Lifetime,
    RequestedAddressFamily,
    RequestedTransport,
    UnknownAttribute,
)
from icepath.wire.message import Message, MessageClass, Method, TransactionId, decode_message, encode_message

HOST4, HOST6 = "198.51.100.1", "2001:db8::1"
V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6
UDP = RequestedTransport()


def config(*hosts: str) -> TurnServerConfig:
    return TurnServerConfig((Address(HOST4, 3478),), hosts or (HOST4, HOST6))


def allocate(*attributes: Attribute) -> Message:
    return decode_message(encode_message(Method.ALLOCATE, MessageClass.REQUEST, TransactionId(bytes(12)), attributes))


def raw_family(kind: type[RequestedAddressFamily | AdditionalAddressFamily], family: int) -> UnknownAttribute:
    return UnknownAttribute(kind.TYPE, bytes((family, 0, 0, 0)))


@pytest.mark.rfc("8656", "7.2")
class TestPlan:
    @pytest.mark.parametrize(
        ("attributes", "plan"),
        [
            ((UDP,), Plan((HOST4,))),
            ((UDP, RequestedAddressFamily(V4)), Plan((HOST4,))),
            ((UDP, RequestedAddressFamily(V6)), Plan((HOST6,))),
            ((UDP, AdditionalAddressFamily(V6)), Plan((HOST4, HOST6))),
            ((), 400),
            ((RequestedTransport(6),), 442),
            ((UDP, RequestedAddressFamily(V6), AdditionalAddressFamily(V6)), 400),
            ((UDP, AdditionalAddressFamily(V4)), 400),
            ((UDP, raw_family(AdditionalAddressFamily, 7)), 400),
            ((UDP, raw_family(RequestedAddressFamily, 7)), 440),
        ],
    )
    def test_of_a_server_with_both(self, attributes: tuple[Attribute, ...], plan: Plan | int) -> None:
        assert plan_allocation(allocate(*attributes), config()) == plan

    @pytest.mark.parametrize(
        ("hosts", "attributes", "plan"),
        [
            ((HOST4,), (RequestedAddressFamily(V6),), 440),
            ((HOST6,), (), 440),
            ((HOST6,), (RequestedAddressFamily(V6),), Plan((HOST6,))),
            (
                (HOST4,),
                (AdditionalAddressFamily(V6),),
                Plan((HOST4,), AddressErrorCode(V6, 440, "Address Family not Supported")),
            ),
            (
                (HOST6,),
                (AdditionalAddressFamily(V6),),
                Plan((HOST6,), AddressErrorCode(V4, 440, "Address Family not Supported")),
            ),
        ],
    )
    def test_of_a_server_with_one(
        self, hosts: tuple[str, ...], attributes: tuple[Attribute, ...], plan: Plan | int
    ) -> None:
        assert plan_allocation(allocate(UDP, *attributes), config(*hosts)) == plan


@pytest.mark.rfc("8656", "7.2")
@pytest.mark.parametrize(
    ("wanted", "granted"), [(None, 600), (0, 600), (599, 600), (601, 601), (3600, 3600), (9999, 3600)]
)
def test_a_lifetime_is_between_default_and_maximum(wanted: int | None, granted: int) -> None:
    assert granted_lifetime(None if wanted is None else Lifetime(wanted), config()) == granted


@pytest.mark.parametrize(
    ("host", "is_denied"),
    [
        ("10.0.0.1", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("127.0.0.1", False),
    ],
)
def test_only_the_networks_in_the_config_are_denied(host: str, is_denied: bool) -> None:
    assert PeerPolicy(("10.0.0.0/8", "2001:db8::/32")).is_denied(host) is is_denied
    assert not PeerPolicy(()).is_denied(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"])
def test_what_is_no_single_host_is_denied_always(host: str) -> None:
    assert PeerPolicy(()).is_denied(host)
