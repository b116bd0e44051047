"""One call to WPS, and what came of it. Nothing is written here and nothing is repeated."""

import time
from contextlib import suppress
from dataclasses import replace

from domain.outcomes import is_definite
from domain.settlement import Verb
from observability.failpoints import failpoint
from remote.wps.client import WpsClient
from remote.wps.errors import WpsError, WpsUnknown
from remote.wps.transport import Admitted
from usecases.sync.work import Call, Done, Failed, Outcome


def send(client: WpsClient, on: Admitted, call: Call) -> Outcome:
    """Carry the call out. Only errors of WPS become outcomes; everything else is a defect and is raised."""
    started = time.monotonic()
    try:
        done = _SENDERS[call.kind](client, on, call)
        return replace(done, took_ms=(time.monotonic() - started) * 1000)
    except WpsUnknown as error:
        # A list of one is as good as a single write: its data error is definite.
        single = call.alone and _names_an_item(call)
        if error.cause is not None and is_definite(
            list_write=True, alone=single, answered=error.envelope, throttled=False
        ):
            return Failed(error.cause)
        return Failed(error)
    except WpsError as error:
        return Failed(error)


def packed(client: WpsClient, call: Call) -> Call:
    """The call with what it sends spelled out, where that is much. What cannot be spelled fails when it is sent."""
    if call.kind != "event" or call.verb is not Verb.CREATE:
        return call
    with suppress(WpsError):
        return replace(call, packed=client.pack_events(call.bodies))
    return call


def _names_an_item(call: Call) -> bool:
    return call.kind == "event" or (call.members is not None and len(call.members.add) == 1)


def _calendar(client: WpsClient, on: Admitted, call: Call) -> Done:
    target = call.wanted[0].target
    if call.verb is Verb.CREATE:
        return Done({target: client.create_calendar(on, name=call.name).id})
    if call.verb is Verb.UPDATE:
        client.update_calendar(on, call.calendar_id, name=call.name)
        return Done({target: call.calendar_id})
    client.delete_calendar(on, call.calendar_id)
    return Done()


def _members(client: WpsClient, on: Admitted, call: Call) -> Done:
    assert call.members is not None
    if call.members.remove is not None:
        client.remove_member(on, call.calendar_id, call.members.remove[1])
        failpoint("members.after_call")
        return Done()
    given = client.add_members(on, call.calendar_id, call.members.add)
    failpoint("members.after_call")
    return Done(permissions=tuple((one.user_id, one.role, one.permission_id) for one in given))


def _event(client: WpsClient, on: Admitted, call: Call) -> Done:
    one = call.wanted[0]
    assert one.mirrored is not None
    if call.verb is Verb.CREATE:
        return _created(client, on, call)
    assert one.mirrored.remote_id is not None
    if call.verb is Verb.UPDATE:
        client.update_event(on, call.calendar_id, one.mirrored.remote_id, call.bodies[0])
        return Done({one.target: one.mirrored.remote_id})
    client.delete_event(on, call.calendar_id, one.mirrored.remote_id)
    return Done()


def _created(client: WpsClient, on: Admitted, call: Call) -> Done:
    """Answers are matched by marker, never by position: WPS promises no order."""
    by_marker = {one.mirrored.marker: one.target for one in call.wanted if one.mirrored is not None}
    made = client.create_events(on, call.calendar_id, call.bodies, packed=call.packed)
    found = ((by_marker.get(event.marker), event.id) for event in made)
    return Done({target: id_ for target, id_ in found if target is not None})


def _users(client: WpsClient, on: Admitted, call: Call) -> Done:
    return Done(users=tuple(client.users_by_ex_ids(on, call.codes)))


def _walk(client: WpsClient, on: Admitted, call: Call) -> Done:
    assert call.walk is not None
    page = client.calendars_page(on, call.walk.page_token)
    live = tuple(one for one in page.items if not one.deleted)
    return Done(calendars=live, next_token=page.next_token, walk_id=call.walk.id)


_SENDERS = {"calendar": _calendar, "members": _members, "event": _event, "users": _users, "walk": _walk}
