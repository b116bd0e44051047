"""Who reads and who writes a calendar."""

from collections.abc import Mapping

from domain.ids import key_of


def roll_hash(members: Mapping[str, str]) -> str:
    """One value for a roll (user → role); blank for an empty one, which is what a new calendar has."""
    if not members:
        return ""
    return key_of(*(part for user in sorted(members) for part in (user, members[user])))
