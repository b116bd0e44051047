"""Accept one check-in: judge it, hand it to the stream, and answer with a signed receipt that is kept.

seen before ─▶ the receipt of then, byte for byte       stranger ─▶ refused
keys of the session missing ─▶ made again from stream and database, asked again
stream's server away, or full of memory ─▶ the database, a few at a time, with a mark for the session in the same transaction
neither, or more than the database can take beside its own work ─▶ Busy: nothing was accepted, come again
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import redis
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from db import check_ins, rosters
from db.check_in_stream import Answer, CheckInStream, NotDurable
from db.check_ins import Place
from db.engine import in_unit, reading
from domain import class_codes, receipts, verdicts
from domain.check_in_traces import place_of
from domain.check_in_words import CAUSES
from domain.check_ins import CheckIn
from domain.geofence import WGS84, BadPosition, Position, position
from domain.ids import secret_key
from domain.receipts import BadReceipt, Receipt
from domain.switches import SIMPLE_CHECK_IN
from domain.verdicts import Attempt, Rules, Verdict, Window
from observability import tracing
from observability.log import get_logger
from observability.metrics import CHECK_IN_REFUSALS, CHECK_INS
from usecases import check_in_batch, check_in_keys, places
from usecases.check_in_book import Book, Known, Unreadable
from usecases.check_in_breaker import Slots, StreamBreaker
from usecases.check_in_refusals import Refusals
from usecases.switches import Switchboard
from usecases.together import Together

log = get_logger("check_in")

_KEYS_S = 2.0  # how long somebody waits for another one who makes keys
_COME_AGAIN_S = (1, 4)
_POINT_CHARS = 24
_DEVICE_CHARS = 32


@dataclass(frozen=True)
class Asked:
    """What a student's phone sends. Degrees, metres, ms UTC; `receipt` is one of ours that is posted back."""

    session_id: str
    code: str
    client_id: str = ""
    lat: float | None = None
    lon: float | None = None
    accuracy_m: float | None = None
    system: str = WGS84
    device: str = ""
    client_ms: int | None = None
    offline: bool = False
    class_code: str = ""
    captured_ms: int | None = None
    mocked: bool = False
    receipt: str = ""


@dataclass(frozen=True)
class Accepted:
    """`receipt` is the text to keep and to show; `first` is False for a repeat, which has the same receipt."""

    receipt: str
    first: bool


class Refused(Exception):
    """Definitely not checked in. `cause` is a key of `domain.check_in_words.CAUSES`; `window` is that of the session."""

    def __init__(self, cause: str, verdict: Verdict | None = None, window: Window | None = None) -> None:
        super().__init__(CAUSES[cause][1])
        self.cause = cause
        self.verdict = verdict
        self.window = window


def come_again_s() -> int:
    """After how many seconds to come again: not the same for all, or all would come at once."""
    return random.randint(*_COME_AGAIN_S)  # noqa: S311 (jitter)


class Busy(Exception):
    """Nothing is known to be accepted: send the same again after `retry_after_s`. `full`: too many, rather than away."""

    def __init__(self, why: str, retry_after_s: int | None = None, *, full: bool = False) -> None:
        super().__init__(why)
        self.retry_after_s = come_again_s() if retry_after_s is None else retry_after_s
        self.full = full


def _position(asked: Asked) -> Position | None:
    """Where the phone says it is; None: nowhere, or nowhere there is."""
    if asked.lat is None or asked.lon is None:
        return None
    try:
        return position(asked.lat, asked.lon, asked.system)
    except BadPosition:
        return None


def _reasons(verdict: Verdict) -> str:
    return ",".join((*verdict.reasons, *verdict.notes))


class Desk:
    """Takes check-ins in one process, from any of its threads. `clock` gives ms UTC."""

    def __init__(
        self,
        engine: Engine,
        stream: CheckInStream,
        *,
        tenant: str,
        secret: bytes,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        direct: int = 8,
        switches: Switchboard | None = None,
        encryption_keys: str = "",
    ) -> None:
        self._engine, self._stream, self._tenant, self._secret, self._clock = engine, stream, tenant, secret, clock
        self._direct = Slots(direct)  # writes past the stream at a time: the database has its own work
        self.breaker = StreamBreaker(lambda: self._engine, stream, tenant=tenant, past=self._direct)
        self._loading = threading.Lock()
        self.book = Book(engine, tenant=tenant)
        self.refusals = Refusals(engine, tenant=tenant)
        self._switches = switches or Switchboard(engine)
        self._keys = encryption_keys
        self._accepting = Together(stream.accept_all)

    def accept(self, asked: Asked) -> Accepted:
        """The receipt of this check-in, or of the one before. Raises Refused, Busy."""
        try:
            found = self._accept(asked)
        except (Refused, Busy) as error:
            CHECK_INS.add(type(error).__name__.lower())
            if isinstance(error, Refused):
                self._note(asked, error)
            raise
        CHECK_INS.add("first" if found.first else "again")
        return found

    def _note(self, asked: Asked, error: Refused) -> None:
        """Keep whom it turned away, for the teacher and for an appeal; of a class that there is not only the count."""
        CHECK_IN_REFUSALS.add(error.cause)
        known = self.book.peek(asked.session_id)
        if known is not None:
            outside_m = None if error.verdict is None else error.verdict.outside_m
            at_ms = self._clock()
            self.refusals.note(
                known.row.term, asked.session_id, asked.code, error.cause, at_ms=at_ms, outside_m=outside_m
            )

    def _accept(self, asked: Asked) -> Accepted:
        session = self.session(asked.session_id)
        accepted, review = self._posted_back(asked, session) if asked.receipt else self._judged(asked, session)
        turn = self.breaker.turn
        answer = self._ask_stream(accepted, review, session)
        if answer is None:
            return self._past_the_stream(accepted, review, turn)
        if answer.what == "stranger":
            raise Refused(verdicts.NOT_ENROLLED)
        if answer.what == "new":
            return Accepted(answer.receipt, first=True)
        return Accepted(self._committed(accepted, answer.receipt), first=False)

    def _committed(self, one: CheckIn, receipt: str) -> str:
        """The receipt of a repeat: the one that was committed, if any was. What the stream was given and could not answer may
        not be it, where the student pressed again and the database answered."""
        if not self._direct.take():
            return receipt
        try:
            with reading(self._engine) as tx:
                keys = {one.session_id: [one.code]}
                found = check_ins.find(tx, keys, tenant=self._tenant, term=one.term)
        except SQLAlchemyError:
            return receipt
        finally:
            self._direct.give()
        row = found.get((one.session_id, one.code))
        return receipt if row is None else str(row.receipt)

    def verify(self, text: str) -> Receipt:
        """What a receipt says, whoever holds it. Raises BadReceipt."""
        receipt = receipts.verify(self._secret, text)
        if receipt.tenant != self._tenant:
            raise BadReceipt("the receipt is of another school")
        return receipt

    def receipt_in_stream(self, session_id: str, code: str) -> str | None:
        """The receipt that the stream's server keeps for a student; None where there is none, or nobody to ask."""
        try:
            return self._stream.receipt_of(self._tenant, session_id, code)
        except redis.RedisError:
            return None

    def class_code(self, session_id: str) -> tuple[str, int]:
        """What the teacher's screen shows now, and for how many more milliseconds."""
        now = self._clock()
        shown = class_codes.code_at(self._secret, tenant=self._tenant, session_id=session_id, at_ms=now)
        return shown, class_codes.left_ms(now)

    # --- the verdict --------------------------------------------------------------------------------------------------

    def judge(self, asked: Asked, session: Known, open_: Window) -> Verdict:
        """What comes of it by time, code and place. Raises Refused."""
        now = self._clock()
        attempt = Attempt(
            now_ms=now,
            at=_position(asked),
            accuracy_m=asked.accuracy_m,
            client_ms=asked.client_ms,
            offline=asked.offline,
            code=self._step(asked, now) is not None if asked.class_code else None,
            mocked=asked.mocked,
        )
        verdict = verdicts.judge(attempt, self.rules_now(session), open_, session.fence, start_ms=session.row.start_ms)
        if verdict.decision == verdicts.REFUSED:
            raise Refused(verdict.cause, verdict, open_)
        return verdict

    def _judged(self, asked: Asked, session: Known) -> tuple[CheckIn, CheckIn]:
        """The check-in that it is, and the one it is where somebody else has used the same device."""
        verdict = self.judge(asked, session, session.window)
        of = {"tenant": self._tenant, "session_id": asked.session_id, "code": asked.code}
        number = receipts.number_of(self._secret, **of)
        accepted = self._check_in(asked, session, verdict, self._signed(asked, session, verdict, number))
        if not asked.device:
            return accepted, accepted
        doubted = verdict.doubted(verdicts.SHARED_DEVICE)
        receipt = self._signed(asked, session, doubted, number)
        return accepted, replace(accepted, receipt=receipt, status=doubted.status, reasons=_reasons(doubted))

    def rules_now(self, session: Known) -> Rules:
        """The rules of a session, without those about the place while check-ins are simplified."""
        simple = SIMPLE_CHECK_IN in self._switches.on(self._tenant)
        return session.rules.without_place() if simple else session.rules

    def _step(self, asked: Asked, now: int) -> int | None:
        """Which code of the screen it was; None: none, or no good one."""
        of = {"tenant": self._tenant, "session_id": asked.session_id}
        return class_codes.step_of(self._secret, asked.class_code, now_ms=now, captured_ms=asked.captured_ms, **of)

    def _signed(self, asked: Asked, session: Known, verdict: Verdict, number: str) -> str:
        said = Receipt(
            number=number,
            tenant=self._tenant,
            term=session.row.term,
            session_id=asked.session_id,
            code=asked.code,
            at_ms=verdict.at_ms,
            decision=verdict.decision,
            timing=verdict.timing,
            reasons=verdict.reasons,
            outside_m=verdict.outside_m,
            rule_version=verdict.rule_version,
            client_id=asked.client_id[:64],
        )
        return receipts.sign(self._secret, said)

    def _check_in(self, asked: Asked, session: Known, verdict: Verdict, receipt: str) -> CheckIn:
        at = _position(asked)
        place = None if at is None else place_of(at)
        return CheckIn(
            tenant=self._tenant,
            term=session.row.term,
            session_id=asked.session_id,
            code=asked.code,
            client_id=asked.client_id[:64],
            receipt=receipt,
            at_ms=verdict.at_ms,
            status=verdict.status,
            timing=verdict.timing,
            way="code" if asked.class_code else "location",
            rule_version=verdict.rule_version,
            reasons=_reasons(verdict),
            client_ms=asked.client_ms,
            outside_m=verdict.outside_m,
            accuracy_m=None if asked.accuracy_m is None else round(max(-1.0, min(asked.accuracy_m, 1e6))),
            device=self._mark("device", asked.device)[:_DEVICE_CHARS] if asked.device else None,
            point=None if at is None else self._point(asked),
            lat_e2=None if place is None or self._keys else place[0],
            lon_e2=None if place is None or self._keys else place[1],
            place=self._sealed(place, session.row.term, asked),
            code_step=self._step(asked, self._clock()) if asked.class_code else None,
            origin=tracing.written(),
        )

    def _sealed(self, place: Place | None, term: str, asked: Asked) -> str | None:
        """The place as a check-in has it, where there is a key: every process of the product has one."""
        if place is None or not self._keys:
            return None
        at = places.bound_to(self._tenant, term, asked.session_id, asked.code)
        return places.sealed(place, encryption_keys=self._keys, at=at)

    def _mark(self, kind: str, said: str) -> str:
        """Stands for something that is compared and never shown."""
        return secret_key(self._secret, kind, self._tenant, said)

    def _point(self, asked: Asked) -> str:
        return self._mark("point", f"{asked.lat!r},{asked.lon!r},{asked.accuracy_m!r}")[:_POINT_CHARS]

    def _posted_back(self, asked: Asked, session: Known) -> tuple[CheckIn, CheckIn]:
        """A receipt that we have signed is a check-in, also where every record of it was lost."""
        try:
            said = self.verify(asked.receipt)
        except BadReceipt:
            raise Refused("bad_receipt") from None
        if (said.session_id, said.code) != (asked.session_id, asked.code):
            raise Refused("bad_receipt")
        one = CheckIn(
            tenant=said.tenant,
            term=session.row.term,
            session_id=said.session_id,
            code=said.code,
            client_id=said.client_id,
            receipt=asked.receipt,
            at_ms=said.at_ms,
            status=said.timing if said.decision == verdicts.ACCEPTED else "ABNORMAL",
            timing=said.timing,
            way="receipt",
            rule_version=said.rule_version,
            reasons=",".join(said.reasons),
            outside_m=said.outside_m,
            origin=tracing.written(),
        )
        return one, one

    # --- the session --------------------------------------------------------------------------------------------------

    def session(self, session_id: str) -> Known:
        """What is known of a session. Raises Refused where it is none that one could check in to, Busy."""
        try:
            known = self.book.find(session_id)
        except Unreadable as error:
            raise Busy("the rules of the session cannot be read") from error
        if known is None:
            raise Refused(verdicts.ON_ANOTHER_ROSTER)
        if known.row.status == rosters.CANCELLED:
            raise Refused(verdicts.CANCELLED)
        return known

    # --- the stream ---------------------------------------------------------------------------------------------------

    def _ask_stream(self, accepted: CheckIn, review: CheckIn, session: Known) -> Answer | None:
        """What the stream says; None where it cannot say anything. Raises Busy where it is full, or not durable enough."""
        try:
            if not self.breaker.close():
                return None
            answer = self._accepting.ask((accepted, review))
            if answer.what == "unknown":
                answer = self._ask_with_keys(accepted, review, session)
        except NotDurable as error:
            raise Busy("no replica has confirmed the check-in") from error
        except redis.RedisError as error:
            self.breaker.lost(error)
            return None
        except SQLAlchemyError as error:
            raise Busy(f"the keys of the session cannot be made: {error}") from error
        if answer.what == "full":
            raise Busy("the stream is full", retry_after_s=5, full=True)
        return None if answer.what == "unknown" else answer

    def _ask_with_keys(self, accepted: CheckIn, review: CheckIn, session: Known) -> Answer:
        """The stream again, once the keys of the session are there. One thread at a time makes any: the first at a door where a
        whole class waits makes them for all."""
        if not self._loading.acquire(timeout=_KEYS_S):
            raise Busy("the keys of the session are being made")
        try:
            answer = self._accepting.ask((accepted, review))
            if answer.what != "unknown":
                return answer
            check_in_keys.load(self._engine, self._stream, [session.row])
        finally:
            self._loading.release()
        return self._accepting.ask((accepted, review))

    # --- past the stream ----------------------------------------------------------------------------------------------

    def _past_the_stream(self, accepted: CheckIn, review: CheckIn, turn: int) -> Accepted:
        if not self._direct.take():
            raise Busy("as many check-ins as the database can take are being written past the stream")
        try:
            if self.breaker.mending or self.breaker.turn != turn:
                raise Busy("the keys of the stream are being made again")
            return in_unit(self._engine, lambda tx: self._write(tx, accepted, review))
        except DBAPIError as error:
            log.error("check_in.database_away", reason=str(error.orig))
            raise Busy("neither the stream nor the database can be reached", retry_after_s=5) from error
        except SQLAlchemyError as error:
            raise Busy("the database cannot be reached", retry_after_s=5) from error
        finally:
            self._direct.give()

    def _write(self, tx: Connection, accepted: CheckIn, review: CheckIn) -> Accepted:
        key = {"tenant": self._tenant, "term": accepted.term}
        here = check_ins.of_student_or_device(tx, accepted.session_id, accepted.code, accepted.device, **key)
        before = next((row for row in here if row.code == accepted.code), None)
        if before is not None:
            return Accepted(before.receipt, first=False)
        if not rosters.is_expected(tx, accepted.session_id, accepted.code, **key):
            raise Refused(verdicts.NOT_ENROLLED)
        one = review if here else accepted
        rosters.mark(tx, one.session_id, **key)  # first: see `is_back`
        if self.breaker.is_back():
            raise Busy("the stream is back, and another process may go by it")
        check_in_batch.write_in(tx, [one], tenant=self._tenant, open_place=places.opener(self._keys))
        return Accepted(one.receipt, first=True)
