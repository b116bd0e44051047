"""What a login is called and what a password has to be."""

import unicodedata
from typing import Final

SHORTEST: Final = 10
LONGEST: Final = 128
NAME_LONGEST: Final = 60


class BadPassword(ValueError):
    """The password cannot be used; the message says why, and never what it was."""


class BadLoginName(ValueError):
    """The name cannot be used for a login."""


def folded(name: str) -> str:
    """The name as logins are kept and looked for: without case, width and outer blanks."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def check_name(name: str) -> str:
    """The folded name. Raises `BadLoginName`."""
    plain = folded(name)
    if not 1 <= len(plain) <= NAME_LONGEST or not plain.isprintable() or any(one.isspace() for one in plain):
        raise BadLoginName(f"a login name has 1 to {NAME_LONGEST} characters and no blanks")
    return plain


def check(password: str, *, name: str) -> None:
    """Raise `BadPassword` unless it is long enough and is not the name or one character over and over."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadPassword(f"a password has {SHORTEST} to {LONGEST} characters")
    if folded(password) == folded(name) or len(set(password)) < 4:
        raise BadPassword("the password is too easy to guess")
