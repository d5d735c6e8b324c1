"""What Chromium 156.0.8078.79 (Debian 12, headless) said by multicast about one of its host candidates.

Captured on a veth pair between two network namespaces, 10.77.0.1 being Chromium's; asked from 10.77.0.2, from port
5353 or another one. It answered within 1 ms each question of type A, AAAA or ANY, and none that had the
unicast-response bit or stood beside another question.
"""

from __future__ import annotations

from typing import Final

NAME: Final = "3b445fac-4e02-437c-b21e-4346e655e9c0.local"
HOST: Final = "10.77.0.1"

# To A and ANY: the address, and in NSEC, its name compressed, that there is no other.
ANSWER_TO_A: Final = bytes.fromhex(
    "0000840000000001000000012433623434356661632d346530322d343337632d623231652d343334366536353565396330056c6f63616c00"
    "000180010000007800040a4d00012433623434356661632d346530322d343337632d623231652d343334366536353565396330056c6f6361"
    "6c00002f8001000000780005c046000140"
)
# To AAAA: NSEC is the answer, the address stands besides.
ANSWER_TO_AAAA: Final = bytes.fromhex(
    "0000840000000001000000012433623434356661632d346530322d343337632d623231652d343334366536353565396330056c6f63616c00"
    "002f8001000000780005c00c0001402433623434356661632d346530322d343337632d623231652d343334366536353565396330056c6f63"
    "616c00000180010000007800040a4d0001"
)
