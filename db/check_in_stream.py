"""The stream that stands before the database at the bell, and the keys of the sessions it takes check-ins for.

A session's keys – roster, seen, devices – and the stream of its records carry the hash tag of its shard, so that one script
may touch them all. Records leave the stream only after they are committed. So whoever was seen is either still in the stream
or in the database, and keys that are lost or not to be trusted are made again from both, the stream read first.
"""

import hashlib
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import redis

from domain.check_ins import BadCheckIn, CheckIn, decode, encode

SHARDS: Final = 4
ALL: Final = range(SHARDS)
GROUP: Final = "writers"
KEPT_MS: Final = 24 * 3_600_000  # keys outlive their session so long; later ones are answered by the database
MOST: Final = 250_000  # records a shard may hold before new ones are turned away

_SCRIPT: Final = Path(__file__).with_name("check_in_stream.lua").read_text(encoding="utf-8")
# KEYS roster, seen, devices, and the three made beside them; ARGV when they expire. The roster comes last and stands for all.
_PUT_IN_PLACE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('DEL', KEYS[4], KEYS[5], KEYS[6])
  return 0
end
for at = 3, 1, -1 do
  redis.call('DEL', KEYS[at])
  if redis.call('EXISTS', KEYS[at + 3]) == 1 then
    redis.call('RENAME', KEYS[at + 3], KEYS[at])
    redis.call('PEXPIREAT', KEYS[at], ARGV[1])
  end
end
return 1
"""
_CHUNK: Final = 500
_UNFINISHED_MS: Final = 60_000
_SOON_S: Final = 0.5
_NOBODY: Final = ""  # a member of every roster, so that an empty one is there


# KEYS who leads; ARGV the one who asks, and for how long.
_LEAD: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""


_FOLLOW: Final = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class NotDurable(Exception):
    """No replica has confirmed the record in time. It may be kept all the same; a repeat will tell."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one check-in: unknown, seen, stranger, full or new; `receipt` where there is one."""

    what: str
    receipt: str = ""
    decision: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in the stream. `check_in` is None where it cannot be read, with the reason in `problem`."""

    shard: int
    id: str
    raw: str
    check_in: CheckIn | None
    problem: str = ""

    @property
    def at_ms(self) -> int:
        """When the stream took it, by its server's clock."""
        return int(self.id.partition("-")[0])


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What the keys of a session are made of."""

    session_id: str
    end_ms: int
    students: Collection[str]
    seen: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)


def shard_of(session_id: str) -> int:
    return crc32(session_id.encode()) % SHARDS


def stream_key(shard: int) -> str:
    return f"{{ck{shard}}}:in"


def session_keys(tenant: str, session_id: str) -> tuple[str, str, str]:
    """Roster, seen, devices."""
    tag = f"{{ck{shard_of(session_id)}}}"
    roster, seen, devices = (f"{tag}:{kind}:{tenant}:{session_id}" for kind in ("roster", "seen", "devices"))
    return roster, seen, devices


class CheckInStream:
    """The stream's server. Every method raises `redis.RedisError` while it is away."""

    def __init__(self, client: redis.Redis, *, durability: str = "fsync", most: int = MOST, wait_ms: int = 500) -> None:
        self._redis = client
        self._replicas = 1 if durability == "replica" else 0
        self._wait_ms = wait_ms
        self._most = most
        self._accept = hashlib.sha1(_SCRIPT.encode()).hexdigest()  # noqa: S324 (the server's name for a script)
        self._put_in_place = client.register_script(_PUT_IN_PLACE)
        self._lead = client.register_script(_LEAD)
        self._follow = client.register_script(_FOLLOW)

    # --- accepting ----------------------------------------------------------------------------------------------------

    def accept(self, accepted: CheckIn, review: CheckIn) -> Answer:
        """Store the one that applies, unless the student has checked in before. Raises NotDurable."""
        answer = self.accept_all([(accepted, review)])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def accept_all(self, pairs: Sequence[tuple[CheckIn, CheckIn]]) -> list[Answer | Exception]:
        """The same for many, each by itself, in one round trip: in the place of an answer stands why there is none."""
        said = self._run(pairs)
        lost = [at for at, one in enumerate(said) if isinstance(one, redis.exceptions.NoScriptError)]
        if lost:
            self._redis.script_load(_SCRIPT)
            for at, one in zip(lost, self._run([pairs[at] for at in lost]), strict=True):
                said[at] = one
        return said

    def _run(self, pairs: Sequence[tuple[CheckIn, CheckIn]]) -> list[Answer | Exception]:
        asked = self._redis.pipeline(transaction=False)
        for accepted, review in pairs:
            keys = (*session_keys(accepted.tenant, accepted.session_id), stream_key(shard_of(accepted.session_id)))
            record = encode(accepted)
            asked.evalsha(
                self._accept, 4, *keys, accepted.code, accepted.device or "", accepted.receipt, record,
                "" if review is accepted else review.receipt, "" if review is accepted else encode(review), self._most,
            )  # fmt: skip
        if self._replicas:
            asked.wait(self._replicas, self._wait_ms)  # of this connection's writes
        found: list[Any] = asked.execute(raise_on_error=False)
        confirmed = not self._replicas or _enough(found.pop(), self._replicas)
        return [_answered(one, pair[0].session_id, confirmed) for one, pair in zip(found, pairs, strict=True)]

    def receipt_of(self, tenant: str, session_id: str, code: str) -> str | None:
        """What a student was given in a session, as far as its keys know."""
        found: Any = self._redis.hget(session_keys(tenant, session_id)[1], code)
        return None if found is None else found.decode()

    # --- keys of sessions ---------------------------------------------------------------------------------------------

    def known(self, tenant: str, session_ids: Sequence[str]) -> set[str]:
        """Those of the sessions whose keys are here."""
        asked = self._redis.pipeline(transaction=False)
        for one in session_ids:
            asked.exists(session_keys(tenant, one)[0])
        return {one for one, there in zip(session_ids, asked.execute(), strict=True) if there}

    def forget(self, tenant: str, session_ids: Iterable[str]) -> None:
        """Answer *unknown* for these sessions until their keys are loaded again."""
        asked = self._redis.pipeline(transaction=False)
        for one in session_ids:
            asked.delete(session_keys(tenant, one)[0])
        asked.execute()

    def waiting(self, tenant: str, session_ids: Collection[str]) -> dict[str, list[CheckIn]]:
        """What stands in the stream for each of these sessions, committed or not, in the order in which it came."""
        found: dict[str, list[CheckIn]] = {one: [] for one in session_ids}
        for shard in sorted({shard_of(one) for one in session_ids}):
            for entry in self._all_of(shard):
                one = entry.check_in
                if one is not None and one.tenant == tenant and one.session_id in found:
                    found[one.session_id].append(one)
        return found

    def _all_of(self, shard: int) -> Iterable[Entry]:
        since = "-"
        while page := self._range(shard, since, _CHUNK):
            entries = [_entry(shard, *one) for one in page]
            yield from entries
            since = f"({entries[-1].id}"

    def _range(self, shard: int, since: str, count: int) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
        found: Any = self._redis.xrange(stream_key(shard), min=since, count=count)
        return list(found)

    def load(self, tenant: str, made: SessionKeys) -> bool:
        """Put the keys of a session in place. False where others have done so; theirs are as good."""
        keys = session_keys(tenant, made.session_id)
        beside = tuple(f"{key}:{uuid.uuid4().hex}" for key in keys)
        asked = self._redis.pipeline(transaction=False)
        members = [_NOBODY, *made.students]
        for at in range(0, len(members), _CHUNK):
            asked.sadd(beside[0], *members[at : at + _CHUNK])
        for key, pairs in zip(beside[1:], (made.seen, made.devices), strict=True):
            listed = list(pairs.items())
            for at in range(0, len(listed), _CHUNK):
                asked.hset(key, mapping=dict(listed[at : at + _CHUNK]))
        for key in beside:
            asked.pexpire(key, _UNFINISHED_MS)
        asked.execute()
        return bool(self._put_in_place(keys=(*keys, *beside), args=(made.end_ms + KEPT_MS,)))

    # --- writers ------------------------------------------------------------------------------------------------------

    def make_groups(self) -> None:
        """Make streams and group; those that are there stay."""
        for shard in range(SHARDS):
            try:
                self._redis.xgroup_create(stream_key(shard), GROUP, id="0", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def read(self, consumer: str, *, most: int, wait_ms: int, shards: Collection[int] = ALL) -> list[Entry]:
        """New records, at most `most` of each shard, after at most `wait_ms`."""
        streams: Any = {stream_key(shard): ">" for shard in shards}
        return self._entries(self._redis.xreadgroup(GROUP, consumer, streams, count=most, block=wait_ms))

    def read_again(self, consumer: str, *, most: int, shards: Collection[int] = ALL) -> list[Entry]:
        """Records this consumer was given before and has not finished."""
        streams: Any = {stream_key(shard): "0" for shard in shards}
        return self._entries(self._redis.xreadgroup(GROUP, consumer, streams, count=most))

    def _entries(self, answer: Any) -> list[Entry]:
        shards = {stream_key(shard).encode(): shard for shard in range(SHARDS)}
        listed = answer.items() if isinstance(answer, dict) else answer or []
        found = []
        for name, entries in listed:
            # RESP 3 wraps the entries of a stream in one more list.
            flat = entries[0] if entries and isinstance(entries[0], list) else entries
            found += [_entry(shards[name], id_, fields) for id_, fields in flat]
        return found

    def take_over(self, consumer: str, *, idle_ms: int, most: int, shards: Collection[int] = ALL) -> list[Entry]:
        """Records that another consumer was given and has left alone for so long: it is dead, or will find them written."""
        found = []
        for shard in shards:
            claimed: Any = self._redis.xautoclaim(stream_key(shard), GROUP, consumer, min_idle_time=idle_ms, count=most)
            found += [_entry(shard, id_, fields) for id_, fields in claimed[1] if fields]
        return found

    def done(self, entries: Iterable[Entry]) -> None:
        """These are committed, or dead letters: they leave the stream."""
        asked = self._redis.pipeline(transaction=False)
        for shard, ids in _by_shard(entries).items():
            asked.xack(stream_key(shard), GROUP, *ids)
            asked.xdel(stream_key(shard), *ids)
        asked.execute()

    def tidy(self, *, idle_ms: int) -> None:
        """Remove consumers that are long gone and owe nothing."""
        for shard in range(SHARDS):
            for one in self._redis.xinfo_consumers(stream_key(shard), GROUP):
                if one["pending"] == 0 and one["idle"] > idle_ms:
                    self._redis.xgroup_delconsumer(stream_key(shard), GROUP, one["name"])

    def lead(self, what: str, me: str, *, for_ms: int) -> bool:
        """Whether `me` is the one who does `what` for the next while. A hint: after a flush two may think so."""
        return bool(self._lead(keys=(f"lead:{what}",), args=(me, for_ms)))

    def follow(self, what: str, me: str) -> None:
        """`me` does not do it any more: somebody else may at once."""
        self._follow(keys=(f"lead:{what}",), args=(me,))

    # --- how it stands ------------------------------------------------------------------------------------------------

    def try_to_write(self) -> None:
        """Write something that does not matter. Raises what a check-in would meet; a server that is silent is given up soon."""
        pool = self._redis.connection_pool
        soon = {**pool.connection_kwargs, "socket_timeout": _SOON_S, "socket_connect_timeout": _SOON_S}
        client = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=pool.connection_class, **soon))
        with client:
            client.set("tried", 1, px=_UNFINISHED_MS)

    def length(self) -> int:
        """How many records are not committed yet."""
        return sum(int(self._redis.xlen(stream_key(shard))) for shard in range(SHARDS))

    def oldest_ms(self, session_id: str) -> int | None:
        """When the oldest record in a session's stream came; None for an empty one."""
        return self._oldest_ms(shard_of(session_id))

    def oldest_of_all_ms(self) -> int | None:
        """When the oldest record that is not committed came."""
        found = [ms for shard in range(SHARDS) if (ms := self._oldest_ms(shard)) is not None]
        return min(found, default=None)

    def _oldest_ms(self, shard: int) -> int | None:
        first = self._range(shard, "-", 1)
        return None if not first else int(first[0][0].partition(b"-")[0])

    def keeps_every_write(self) -> bool | None:
        """Whether the server has each write on disk before it answers; None where it does not say."""
        try:
            found = self._redis.config_get("append*")
        except redis.ResponseError:
            return None
        return bool(found.get("appendonly") == "yes" and found.get("appendfsync") == "always")


def _enough(said: Any, wanted: int) -> bool:
    return not isinstance(said, Exception) and int(said) >= wanted


def _answered(said: Any, session_id: str, confirmed: bool) -> Answer | Exception:
    if isinstance(said, Exception):
        return said
    answer = Answer(*(one.decode() for one in said))
    return answer if confirmed or not answer.receipt else NotDurable(session_id)


def _by_shard(entries: Iterable[Entry]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for one in entries:
        found.setdefault(one.shard, []).append(one.id)
    return found


def _entry(shard: int, id_: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    raw, receipt = fields.get(b"r", b""), fields.get(b"c", b"")
    shown = raw.decode("utf-8", "replace")
    try:
        return Entry(shard, id_.decode(), shown, decode(raw, receipt))
    except BadCheckIn as error:
        return Entry(shard, id_.decode(), shown, None, str(error))
