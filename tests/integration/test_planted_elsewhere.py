"""A secret in what is typed, in what a source says, in what WPS answers: no log, error, dead letter, figure or report has it.

A secret is what opens something: a token, a key, the password in an address, a header of authorization. It is known by what
it stands under and by what it looks like, so it is planted in every spelling of those.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import pytest
import sentry_sdk
from sqlalchemy import Engine, select

from db import sync_runs
from db.engine import reading
from db.tables import jobs, metadata
from observability import exposition, log, metrics, sentry
from remote.sources.base import BadSource
from remote.wps.errors import WpsError
from simulator.campus import HEADERS
from tests.contract.simulator_process import APP_KEY
from tests.integration.api_rig import Api
from tests.integration.campus_rig import MONDAY, TERM
from tests.integration.drain_rig import World, calendar, event
from tests.integration.run_rig import registry
from tests.integration.test_command_authorization import (
    Type,
    commands,
    typed,  # noqa: F401 (a fixture)
)
from tests.integration.test_identity_commands import written  # noqa: F401 (a fixture)
from tests.integration.test_sentry import Receiver, receiver  # noqa: F401 (a fixture)
from usecases.sync import runs
from workers.cli import main

pytestmark = [
    pytest.mark.integration,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),  # about texts, not how they are stored
]

SPELLINGS: Final = (
    "Bearer {}",
    "Authorization: Bearer {}",
    "Authorization: Own-Scheme {}",
    "X-Kso-Authorization: KSO-1 app:{}",
    "Cookie: theme=dark; session={}",
    "X-API-Key: {}",
    '{{"access_token": "{}", "expires_in": 7200}}',
    '{{\\"access_token\\": \\"{}\\"}}',
    "https://wps.example/back?state=1&access_token={}&x=1",
    "access_token%3D{}",
    "refreshToken={}",
    "client_secret: {}",
    '"app_key":"{}"',
    "appSecret={}",
    "OBSYNC_WPS_APP_KEY={}",
    "password='{}'",
    '<input type="hidden" name="access_token" value="{}">',
    "<access_token>{}</access_token>",
    "eyJhbGciOi.{}.{}",
    "ob_main_0123456789_{}",
    "mysql://reader:{}@127.0.0.1:1/jw",
    "mysql+pymysql://reader:a@127.0.0.1/{}@127.0.0.1:1/jw",
    "redis://:{}@127.0.0.1:1/0",
    "mysql:/reader:{}@127.0.0.1:1/jw",
    "mysql:reader:{}@127.0.0.1:1/jw",
    "mysql://reader@127.0.0.1:1/jw?password={}",
)
_MARK: Final = re.compile(r"5ec2e7[0-9a-f]{20}")


NOWHERE: Final[dict[str, list[tuple[str, str]]]] = {"log": [], "figures": [], "sentry": []}


@dataclass
class Planter:
    """Makes secrets; `where` is secret → (place, spelling)."""

    where: dict[str, tuple[str, str]] = field(default_factory=dict)

    def one(self, place: str, spelling: str) -> str:
        """A secret of its own for the place, spelled so."""
        secret = f"5ec2e7{len(self.where):020x}"
        self.where[secret] = place, spelling
        return spelling.format(*[secret] * spelling.count("{}"))

    def found(self, text: str) -> list[tuple[str, str]]:
        """What of it is in the text."""
        return sorted({self.where[one] for one in _MARK.findall(text)})


@dataclass
class Watched:
    """Everything that may not tell: log, figures, Sentry."""

    log: io.StringIO
    receiver: Receiver

    def told(self) -> dict[str, str]:
        """What each has said so far."""
        sentry_sdk.flush(timeout=60)
        figures = exposition.text(exposition.Figures({"worker": metrics.taken()})).decode()
        return {"log": self.log.getvalue(), "figures": figures, "sentry": self.receiver.everything()}


@pytest.fixture
def watched(receiver: Receiver, written: io.StringIO) -> Iterator[Watched]:  # noqa: F811
    """The noisiest log, and Sentry told of what is logged with a traceback."""
    sentry.start(receiver.dsn, service="worker", release="7")
    yield Watched(written, receiver)


def rows_with(engine: Engine, planter: Planter) -> dict[str, list[tuple[str, str]]]:
    """By column of every table: what of the planted is in it."""
    found: dict[str, list[tuple[str, str]]] = {}
    with reading(engine) as tx:
        for table in metadata.sorted_tables:
            for row in tx.execute(select(table)):
                for column, value in zip(table.columns, row, strict=True):
                    if here := planter.found(str(value)):
                        found.setdefault(f"{table.name}.{column.name}", []).extend(here)
    return found


# --- what is typed

NOT_TYPED: Final = ("up", "worker")
"""Commands that do not end. Their options are numbers, words of a list and files: the group refuses others as it does here."""
WAIT: Final = ("campus", "sync", "verify")
"""Commands that write many files, or wait for a run: into them goes only what neither begins with."""


def typed_into() -> Iterator[tuple[str, str, list[str | None]]]:
    """(command, what of it, words behind it) for everything into which something can be typed; None: there."""
    for name in commands():
        command = main
        for word in name.split():
            command = command.commands[word]  # type: ignore[attr-defined]
        asked = [one for one in command.params if isinstance(one, click.Argument) and one.required]
        for one in command.params:
            waits = (
                name in WAIT and one.name != "source" and isinstance(one.type, click.types.StringParamType | click.Path)
            )
            if name.split()[0] in NOT_TYPED or waits or getattr(one, "is_flag", False):
                continue
            words: list[str | None] = [None if other is one else "x" for other in asked]
            if isinstance(one, click.Option):
                words += [one.opts[-1], None]
            elif None not in words:
                words.append(None)
            yield name, str(one.name), words


NAMED: Final = {
    "audit.thing": "what somebody says he works on, as he said it: who looks for what was done needs the very words",
    "audit.before": "the same",
    "logins.name": "what somebody has called a login",
    "logins.title": "the same",
}
"""Where what was typed is kept, each with its reason. An address is among none of them: its password is encrypted."""


def test_no_command_repeats_a_secret_that_is_typed_into_it(
    api: Api,
    typed: Type,  # noqa: F811
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A password lands in the wrong argument, and the terminal's text in a ticket: what is refused is named without it.

    What was accepted is answered: a login's name is what somebody has called it.
    """
    monkeypatch.setenv("OBSYNC_LOG_LEVEL", "DEBUG")
    monkeypatch.chdir(tmp_path)
    planter, told = Planter(), []
    spellings = itertools.cycle(SPELLINGS)
    for name, what, words in typed_into():
        spelled = next(spellings)
        if what in ("source", "address"):
            spelled = next(one for one in spellings if "://" in one)
        secret = planter.one(f"{name} {what}", spelled)
        ended = typed(*name.split(), *(secret if word is None else word for word in words))
        assert ended.exception is None or isinstance(ended.exception, SystemExit), (name, ended.exc_info)
        told += planter.found(ended.stderr if ended.exit_code == 0 else ended.output)
    assert len(planter.where) > 100
    assert sorted(set(told)) == []
    kept = rows_with(api.engine, planter)
    assert kept.keys() <= NAMED.keys()
    assert [what for found in kept.values() for what, _ in found if what.endswith(("source", "address"))] == []
    assert {place: planter.found(text) for place, text in watched.told().items()} == NOWHERE


# --- what a source says

CELLS: Final = {
    "meetings": "the rows as they came: what classes are made of, and what the next import is compared with",
    "quarantine": "the row that could not be read, for the operator who has to mend it at its source",
    "offerings": "the name of a course, of its teacher, of its college: what calendars are called",
    "sessions": "the room and the teachers of a class",
    "users": "the name and the college of a person",
    "rolls": "who is in a class, by number",
    "enrolments": "the same, as it came",
    "rooms": "the name of a room",
    "periods": "which campus has these hours",
}
"""Tables that hold cells as they came, each with its reason. Whoever writes a password into a course's name has it in every
calendar; nobody else's eyes see it there than were meant to see the name."""


def plant(folder: Path, planter: Planter) -> None:
    """A campus with, for each column of each file, a row for each spelling."""
    folder.mkdir(parents=True)
    good = {
        "meetings": MONDAY, "students": {"xh": "s0", "xm": "人"}, "teachers": {"gh": "t1", "xm": "甲"},
        "enrolments": {"xh": "s0", "kkh": "A-1", "xnxq": TERM}, "rooms": {"room": "101", "lq": "一教"},
        "terms": {"xnxq": TERM, "first_monday": "2024-09-02", "weeks": "18"},
        "periods": {"xnxq": TERM, "jc": "1", "st": "08:00", "ed": "08:45"},
    }  # fmt: skip
    for part, row in good.items():
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys((*HEADERS[part], *row))))
            writer.writeheader()
            writer.writerow(row)
            for column, spelled in itertools.product(writer.fieldnames, SPELLINGS):
                writer.writerow({**row, column: planter.one(f"{part}.{column}", spelled)})


def test_what_stands_in_a_source_is_told_only_where_cells_are_shown(
    here: World, watched: Watched, tmp_path: Path
) -> None:
    """A row that cannot be read is shown to whoever has to mend it; logs, runs, failures and figures know none of it."""
    planter = Planter()
    offered = registry(here, tmp_path / "campus")
    plant(offered.folder, planter)
    run = offered.sync(kind="import")
    assert run["state"] in sync_runs.ENDED, run
    columns = rows_with(here.engine, planter)
    assert {one.partition(".")[0] for one in columns} == set(CELLS)
    assert len(planter.where) > 900 and len(columns) > 10, "nothing was read"
    assert {place: planter.found(text) for place, text in watched.told().items()} == NOWHERE


def test_a_source_that_cannot_be_used_says_so_without_its_secrets(
    here: World, watched: Watched, tmp_path: Path
) -> None:
    """A header that is missing makes a header of a row; a mapping names columns; an address has a password."""
    planter, said = Planter(), []
    offered = registry(here, tmp_path / "campus")
    offered.publish("代数")
    for number, spelled in enumerate(SPELLINGS):
        folder = tmp_path / f"headless{number}"
        folder.mkdir()
        (folder / "meetings.csv").write_text(planter.one("header", spelled) + ",kkh,xnxq,rq,jc\n", encoding="utf-8")
        named: list[tuple[str, Mapping[str, Any]]] = [
            (str(folder), {"meetings": {"kkh": "missing"}}),
            (str(offered.folder), {"meetings": {"kkh": planter.one("column", spelled)}}),
            (str(offered.folder), {planter.one("part", spelled): {}}),
            (str(offered.folder), {"meetings": {planter.one("name", spelled): "x"}}),
            (planter.one("address", spelled), {}),
        ]
        for address, mapping in named:
            with pytest.raises(BadSource) as refused:
                runs.begin(offered.deps, kind="import", source=address, mapping=mapping)
            said.append(
                "\n".join((str(refused.value), refused.value.file, refused.value.problem, refused.value.remedy))
            )
            log.get_logger("test").error("run.refused", exc_info=refused.value, source=address)
    assert planter.found("\n".join(said)) == []
    assert rows_with(here.engine, planter) == {}
    assert {place: planter.found(text) for place, text in watched.told().items()} == NOWHERE
    assert len(watched.receiver.events()) > 0, "Sentry was told nothing"


# --- what WPS answers


def answers(planter: Planter, token: str) -> list[dict[str, Any]]:
    """Rules that give each spelling back: in the words of a refusal, in a page, and with our own key and token in it."""
    refused = {"status": 422, "code": 400000003}
    rules: list[dict[str, Any]] = []
    for spelled in SPELLINGS:
        rules.append({"do": "status", "params": {**refused, "msg": f"refused: {planter.one('message', spelled)}"}})
        page = f"<html><body>{'x' * 40}<p>{planter.one('page', spelled)}</p></body></html>"
        rules.append({"do": "html", "params": {"status": 400, "page": page}})
    for before in ("", "y" * 150, "y" * 260):
        rules.append({"do": "status", "params": {**refused, "msg": f"{before} {token} {APP_KEY}"}})
        rules.append({"do": "html", "params": {"status": 400, "page": f"{before} {'z' * 100} {APP_KEY} {token}"}})
    return [{"match": {"path": "/update$"}, "times": 1, **one} for one in rules]


def test_what_wps_answers_is_kept_without_its_secrets(here: World, watched: Watched) -> None:
    """A gateway's page repeats the headers that it was sent; a dead letter has its words, and a hundred people read it."""
    planter = Planter()
    token = here.simulator.log_in()
    rules = answers(planter, token)
    here.put(calendar(name="代数 ·abcdefg"), *(event(number) for number in range(len(rules) + 1)))
    here.drain()
    half = planter.one("half an answer", SPELLINGS[0])
    here.faults(*rules, {"match": {"path": "/update$"}, "times": 1, "do": "half_body"})
    here.put(*(event(number, room=half) for number in range(len(rules) + 1)), import_no=2)
    here.drain(until=lambda: not here.queued() and all(one["fired"] for one in here.simulator.desk("faults")))
    columns = rows_with(here.engine, planter)
    assert columns.keys() <= {"jobs.payload", "mirror.payload", "mirror.intent_payload"}, columns
    assert {one for found in columns.values() for one in found} <= {planter.where[half.partition(" ")[2]]}
    told = watched.told() | {"rows": every_text(here)}
    for secret in (APP_KEY, token, token[:12]):
        assert [place for place, text in told.items() if secret in text] == [], secret
    assert {place: planter.found(text) for place, text in watched.told().items()} == NOWHERE
    with reading(here.engine) as tx:
        reasons = list(tx.execute(select(jobs.c.last_error).where(jobs.c.state == "dead")).scalars())
    assert len(reasons) >= len(rules) // 2 and any("refused" in one for one in reasons), "nothing was kept"


def test_a_refused_app_is_told_without_its_key(here: World, watched: Watched) -> None:
    """Asking for a token sends the app's key; the answer may have it, and others, in it."""
    planter, said = Planter(), []
    texts = [planter.one("message", spelled) for spelled in SPELLINGS] + [f"no app with {APP_KEY}"]
    for text in texts:
        here.faults({"match": {"path": "/oauth2/token"}, "do": "status", "params": {"status": 401, "msg": text}})
        with pytest.raises(WpsError) as refused:
            here.deps.remote.transport.check_credentials()
        said.append(str(refused.value))
        log.get_logger("test").error("wps.refused", exc_info=refused.value)
    told = watched.told() | {"errors": "\n".join(said)}
    assert {place: planter.found(text) for place, text in told.items()} == NOWHERE | {"errors": []}
    assert [place for place, text in told.items() if APP_KEY in text] == []


def every_text(world: World) -> str:
    """All rows of all tables."""
    with reading(world.engine) as tx:
        return "\n".join(repr(row) for table in metadata.sorted_tables for row in tx.execute(select(table)))
