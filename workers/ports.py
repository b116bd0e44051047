"""Ports for programs that begin to listen a few seconds after their port was chosen."""

from __future__ import annotations

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_TRIES: Final = 20


class NoFreePort(Exception):
    """Every port that was tried is taken."""

    def __init__(self, host: str) -> None:
        super().__init__(f"There is no free port on {host}: stop a program that listens there, and try again.")


def claim_port(wanted: int, *, host: str = LOOPBACK) -> tuple[int, socket.socket]:
    """`wanted` if nobody listens there, else any free port of the address `host`; and the claim, to be kept open.

    Another `obsync up` that looks before anybody listens finds the UDP port of the same number bound, and takes another
    one. Without that both would choose the same, and the second would work on the simulator of the first.
    Raises NoFreePort.
    """
    for port in (wanted, *[0] * _TRIES):
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                claim.bind(probe.getsockname())
            return int(claim.getsockname()[1]), claim
        except OSError:
            claim.close()
    raise NoFreePort(host)
