"""Hashing passwords (argon2id), and taking as long for somebody who does not exist as for somebody who does."""

from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# 19 MiB, two passes, one lane: 40 ms of one core. Four times the memory would make ten sign-ins a second a full machine.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


@cache
def _nobody() -> str:
    """Made when it is first asked for: most processes check no password."""
    return _HASHER.hash("a password that nobody has")


def hashed(password: str) -> str:
    """The hash to store; another one each time."""
    return _HASHER.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether the password is the one of `stored`; with None the same work is done and the answer is no."""
    try:
        return _HASHER.verify(stored or _nobody(), password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)
