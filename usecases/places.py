"""Where somebody checked in, to a kilometre: sealed on the way into the stream, opened to compare it with other check-ins.

Each is bound to its student in its session, so that it does not open anywhere else. One that does not open any more, because its
key was taken out, is not compared: it is gone in a day anyway.
"""

from __future__ import annotations

from typing import Any

from db.check_ins import OpenPlace, Place, plain_place
from observability.log import get_logger
from usecases.sealing import CannotDecrypt, place_of, seal, unseal

log = get_logger("places")


def bound_to(tenant: str, term: str, session_id: str, code: str) -> str:
    """What the place of a check-in is bound to."""
    return place_of(tenant, "checkin_records", "place", f"{term}/{session_id}/{code}")


def sealed(place: Place, *, encryption_keys: str, at: str) -> str:
    """The place as it is kept; `at` is of `bound_to`."""
    return seal(f"{place[0]},{place[1]}", encryption_keys=encryption_keys, place=at)


def opener(encryption_keys: str) -> OpenPlace:
    """Opens the places of check-ins, also of those from before they were sealed."""

    def open_place(tenant: str, row: Any) -> Place | None:
        if row.place is None:
            return plain_place(tenant, row)
        at = bound_to(tenant, row.term, row.session_id, row.code)
        try:
            lat, _, lon = unseal(row.place, encryption_keys=encryption_keys, place=at).partition(",")
            return int(lat), int(lon)
        except (CannotDecrypt, ValueError) as error:
            log.warning("places.not_opened", reason=str(error)[:200])
            return None

    return open_place
