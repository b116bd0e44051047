"""At the bell: a student checks in, and shows the receipt to whoever wants to see it.

`POST /checkin` asks no database: who asks is asked about together with all who ask at that moment, rules are in memory, and
one script on the stream's server takes it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from db import check_ins
from db.engine import reading
from domain import receipts, verdicts
from domain.attendance import ABNORMAL, EARLY, LATE, NORMAL
from domain.check_in_words import REASONS
from domain.receipts import Receipt
from usecases import check_out as leaving
from usecases import live
from usecases.check_in import Asked, Refused
from web import site
from web.envelope import Answer, language, said
from web.errors import ApiError, Detail
from web.policy import anybody, needs_own
from web.routes import Feature
from web.schemas import check_ins as shapes
from web.schemas.base import instant, to_ms

feature = Feature("check_ins", "签到 check-ins and their receipts")
_WORDS: Final = {
    NORMAL: ("签到成功", "You are checked in"),
    LATE: ("签到成功，记为迟到", "You are checked in, and late"),
    ABNORMAL: ("已收到，待老师核实", "Received; the teacher will look at it"),
}
_LEFT: Final = {
    NORMAL: ("签退成功", "You have checked out"),
    EARLY: ("已签退，记为早退；回到教室后可再次签退", "Checked out, and early; come back and check out again"),
}


@feature.post(
    "/checkin",
    needs_own("check_in.create", while_away=True),
    data=shapes.CheckedIn,
    status=201,
    errors=(403, 404, 409),
    keyed=True,
)
def check_in(body: shapes.CheckInAsked) -> Answer:
    """Check in to a class: 201 with a signed receipt, which is kept by then; 200 with the same one for a repeat.

    429 and 503 with Retry-After mean that nothing was accepted: send the same again.
    """
    accepted = site.desk().accept(_asked(body, site.scope().user))
    found = json.loads(accepted.receipt.rpartition(".")[0])
    status = ABNORMAL if found["is"] == verdicts.REVIEW else found["was"]
    data = {
        "checkinId": found["no"], "scheduleId": found["s"], "status": status, "decision": found["is"],
        "checkinTime": instant(found["at"]), "message": said(*_WORDS[status]), "reasons": _told(found["why"]),
        "receipt": accepted.receipt, "first": accepted.first,
    }  # fmt: skip
    return Answer(data, 201 if accepted.first else 200)


def _asked(body: shapes.CheckInAsked, user: str) -> Asked:
    at, device = body.location, body.device
    return Asked(
        session_id=body.schedule_id,
        code=user,
        client_id=body.client_id,
        lat=None if at is None else at.latitude,
        lon=None if at is None else at.longitude,
        accuracy_m=None if at is None else at.accuracy,
        system="WGS-84" if at is None else at.system,
        device="" if device is None else device.id,
        client_ms=None if body.timestamp is None else to_ms(body.timestamp),
        offline=body.offline,
        class_code=body.class_code,
        captured_ms=None if body.captured_at is None else to_ms(body.captured_at),
        mocked=at is not None and at.mocked,
        receipt=body.receipt,
    )


def _told(reasons: Any) -> list[dict[str, str]]:
    at = 0 if language() == "zh" else 1 if reasons else 0
    return [{"code": one, "message": REASONS[one][at] if one in REASONS else one} for one in reasons]


@feature.post("/checkout", needs_own("check_in.create"), data=shapes.CheckedOut, errors=(403, 404, 409), keyed=True)
def check_out(body: shapes.CheckOutAsked) -> Answer:
    """Leave a class whose course asks for it: before the end is EARLY. The newest check-out counts."""
    at = body.location
    asked = Asked(
        session_id=body.schedule_id, code=site.scope().user, client_id=body.client_id,
        lat=None if at is None else at.latitude, lon=None if at is None else at.longitude,
        accuracy_m=None if at is None else at.accuracy, system="WGS-84" if at is None else at.system,
        client_ms=None if body.timestamp is None else to_ms(body.timestamp), offline=body.offline,
        class_code=body.class_code, captured_ms=None if body.captured_at is None else to_ms(body.captured_at),
        mocked=at is not None and at.mocked,
    )  # fmt: skip
    try:
        left = leaving.check_out(site.deps(), site.desk(), asked)
    except Refused as error:
        if error.cause not in (verdicts.TOO_EARLY, verdicts.CLOSED) or error.window is None:
            raise
        opens, closes = instant(error.window.opens_ms) or "", instant(error.window.closes_ms) or ""
        raise ApiError("CHECKOUT_CLOSED", Detail("opensAt", opens), Detail("closesAt", closes)) from None
    live.tell(site.deps(), body.schedule_id, site.site().publish)
    shape = shapes.CheckedOut(
        schedule_id=body.schedule_id,
        says=left.says,
        checkout_time=instant(left.at_ms) or "",
        stayed_from=instant(left.window.late_from_ms) or "",
        closes_at=instant(left.window.closes_ms) or "",
        status=left.status,
        message=said(*_LEFT[left.says]),
    )
    return Answer(shape.as_json())


@feature.get("/checkin/<session_id>", needs_own("check_in.create"), data=shapes.Door, errors=(409,))
def show_door(path: shapes.DoorPath) -> Answer:
    """When a class takes check-ins and what it asks for, by the server's clock; and one's own receipt of it."""
    desk, now = site.desk(), site.now_ms()
    known = desk.session(path.session_id)
    shape = shapes.Door(
        schedule_id=path.session_id,
        state=known.window.at(now).lower(),
        server_time=instant(now) or "",
        opens_at=instant(known.window.opens_ms) or "",
        late_from=instant(known.window.late_from_ms) or "",
        closes_at=instant(known.window.closes_ms) or "",
        location_required=desk.rules_now(known).location_required,
        code_required=known.rules.code_required,
        has_fence=known.fence is not None,
        checkout_required=known.rules.checkout_required,
        receipt=_receipt_of(path.session_id, known.row.term),
    )
    return Answer(shape.as_json())


@feature.post(
    "/receipts/verify", anybody("whoever holds a receipt may know whether it is real"), data=shapes.ReceiptSaid
)
def verify_receipt(body: shapes.ReceiptAsked) -> Answer:
    """Whether a receipt is one of ours, and what it says. It holds no more than the receipt itself."""
    found: Receipt = receipts.verify(site.site().deps.secret, body.receipt)
    shape = shapes.ReceiptSaid(
        valid=True,
        number=found.number,
        school=found.tenant,
        term=found.term,
        schedule_id=found.session_id,
        student=found.code,
        checkin_time=instant(found.at_ms) or "",
        decision=found.decision,
        timing=found.timing,
        reasons=[shapes.ReasonTold(**one) for one in _told(found.reasons)],
    )
    return Answer(shape.as_json())


def _receipt_of(session_id: str, term: str) -> str | None:
    """The caller's receipt for a class, committed or still in the stream."""
    scope = site.scope()
    waiting = site.desk().receipt_in_stream(session_id, scope.user)
    if waiting is not None:
        return waiting
    with reading(site.deps().engine) as tx:
        found = check_ins.find(tx, {session_id: [scope.user]}, tenant=scope.tenant, term=term)
    return next((one.receipt for one in found.values()), None)
