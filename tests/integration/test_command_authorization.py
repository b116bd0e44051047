"""Every command of `obsync`, with things of its own school and of another one: against a table written by hand.

Whoever has a shell on the machine and the settings of the installation may type every command, and nobody else reaches one:
there are no roles here. What a command may do to whom is another question: it works in one school, ``OBSYNC_TENANT``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete

from db.engine import unit
from db.tables import users
from tests.integration.api_rig import CANARY, HOME, Api
from tests.integration.test_api_authorization import abroad
from tests.integration.test_api_identity_authorization import key_for, logins_of
from tests.integration.things_rig import tenant_of, things
from workers.cli import main


@dataclass(frozen=True)
class Typed:
    """What is typed after the command, with the names of things in braces, and how it ends with one of the own school.

    `makes`: what there is none of is made, so that a name of the other school means a new thing of the own one.
    """

    words: str = ""
    ends: int = 0
    makes: bool = False


SCHOOL: Final[Mapping[str, Typed]] = {
    "attendance": Typed(),
    "attendance cancel": Typed("{session}", 2),
    "attendance drift": Typed(),
    "attendance recount": Typed("--dry-run"),
    "audit": Typed(),
    "changes": Typed(),
    "changes list": Typed(),
    "changes cancel": Typed("{session}", 2),
    "changes make-up": Typed("{term} {course_id} --date 2024-09-10 --periods 1-2", 2),
    "changes move": Typed("{session} --date 2024-09-10 --periods 1-2", 2),
    "changes restore": Typed("{session}", 2),
    "changes room": Typed("{session} 101", 2),
    "changes substitute": Typed("{session} --teacher {code}", 2),
    "changes withdraw": Typed("{session}", 2),
    "checkins": Typed(),
    "checkins refused": Typed("--date 2024-09-02"),
    "checkins verify": Typed("{session}", 1),
    "classes": Typed("--course {course_id}"),
    "days": Typed(),
    "days list": Typed(),
    "days apply": Typed("{term} 2024-09-10=2024-09-11", 1),
    "days preview": Typed("{term} 2024-09-10=2024-09-11", 1),
    "days undo": Typed("{session}", 2),
    "dead": Typed(),
    "dead discard": Typed("{job_id} --yes"),
    "dead edit": Typed("{job_id} --set summary=x"),
    "dead requeue": Typed("{job_id} --yes"),
    "failures": Typed(),
    "failures resolve": Typed("{family} --note seen"),
    "failures retry": Typed("{family} --yes"),
    "failures show": Typed("{family}"),
    "feeds": Typed(),
    "feeds give": Typed("{code}"),
    "feeds revoke": Typed("{session}", 2),
    "freshness": Typed("--user {code}"),
    "import": Typed("{folder}", 1),
    "keys": Typed(),
    "keys make": Typed("screen --may run.read:tenant"),
    "keys revoke": Typed("{prefix}"),
    "keys rotate": Typed("{prefix}"),
    "lanes": Typed(),
    "lanes pause": Typed("{lane}"),
    "lanes resume": Typed("{lane}"),
    "offpeak": Typed(),
    "peak": Typed(),
    "people": Typed(),
    "people erase": Typed("{code} --yes"),
    "people export": Typed("{code}"),
    "people opt-in": Typed("{code} --term {term}"),
    "people opt-out": Typed("{code} --term {term}"),
    "plan": Typed("{folder}"),
    "quarantine": Typed(),
    "quarantine people": Typed(),
    "repair": Typed("--dry-run"),
    "roles": Typed(),
    "roles set": Typed("helper --may run.read:tenant"),
    "roles remove": Typed("{role}"),
    "rosters": Typed(),
    "rosters make": Typed(),
    "rosters recount": Typed("--dry-run"),
    "runs": Typed(),
    "runs cancel": Typed("{run_id}"),
    "runs confirm": Typed("{run_id}", 1),
    "runs drop": Typed("{run_id}", 1),
    "runs pause": Typed("{run_id}"),
    "runs redo": Typed("{run_id}"),
    "runs resume": Typed("{run_id}", 1),
    "runs show": Typed("{run_id}"),
    "runs undo": Typed("{run_id} --yes", 1),
    "schedules": Typed(),
    "schedules run": Typed("{name}"),
    "schedules set": Typed("{name} --max-queued 7"),
    "schedules show": Typed("{name}"),
    "sources": Typed(),
    "sources add": Typed("lab {folder}"),
    "sources alarms": Typed(),
    "sources disable": Typed("{source}", 2),
    "sources enable": Typed("{source}", 2),
    "sources list": Typed(),
    "sources remove": Typed("{source} --yes", 2),
    "sources show": Typed("{source}", 2),
    "sources test": Typed("{source}", 2),
    "switches": Typed(),
    "switches off": Typed("read_only"),
    "switches on": Typed("statistics_off"),
    "terms": Typed(),
    "terms archive": Typed("{term}", 1),
    "terms periods": Typed("{term}"),
    "terms set": Typed("{term} --weeks 20", makes=True),
    "users": Typed(),
    "users add": Typed("somebody"),
    "users disable": Typed("{login}"),
    "users enable": Typed("{login}"),
    "users password": Typed("{login}"),
    "users role": Typed("{login} --role student"),
    "users signout": Typed("{login}"),
}
"""Commands that work in the school of the settings."""

INSTALLATION: Final[Mapping[str, str]] = {
    "campus": "writes a folder of made-up files, and asks no database",
    "cluster": "processes, queues and lanes of all schools; of rows it says counts and ages",
    "cluster drain": "lets a process end",
    "cluster pause": "a queue of messages, for all schools",
    "cluster resume": "the same",
    "limit": "the rate that WPS allows the app of the settings; of rows it reads one number",
    "limit breaker": "the same",
    "limit set": "the same",
    "migrate": "makes tables, and the first school",
    "secrets": "encryption keys are the installation's; it says counts of texts under each",
    "secrets rotate": "the same",
    "up": "starts every process of a machine",
    "worker checkins": "a process; serves the schools whose rows it finds",
    "worker jobs": "the same",
    "worker lanes": "the same",
    "worker scheduler": "the same",
    "worker web": "the same; who asks for what is decided at each route",
    "sync": "begins a run like `import`, in the school of the settings, and waits for it as long as it takes",
    "verify": "the same",
}
"""Commands that are about no school, or that do not end by themselves; each with its reason."""


def commands(group: click.Command = main, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that can be typed."""
    if not isinstance(group, click.Group):
        yield " ".join(path)
        return
    if path and group.invoke_without_command:
        yield " ".join(path)
    for name, command in sorted(group.commands.items()):
        yield from commands(command, (*path, name))


def test_the_tables_name_every_command_there_is() -> None:
    """Nobody adds a command without writing down for whom it works."""
    assert sorted({*SCHOOL, *INSTALLATION}) == sorted(commands())
    assert not SCHOOL.keys() & INSTALLATION.keys()


Type = Callable[..., Result]


@pytest.fixture
def typed(api: Api, data_dir: Path) -> Type:
    """Types a command with ``--json`` at the machine of the first school."""
    environ = {
        "PATH": os.environ["PATH"],
        "OBSYNC_DATA_DIR": str(data_dir),
        "OBSYNC_DATABASE_URL": api.settings.database_url,
        "OBSYNC_BROKER_URL": api.settings.broker_url,
        "OBSYNC_CACHE_URL": api.settings.cache_url,
        "OBSYNC_TENANT": HOME,
    }
    return lambda *words: CliRunner().invoke(main, [*words, "--json"], env=environ)


def named(api: Api, whose: str, folder: Path) -> dict[str, str]:
    """Fresh things of somebody, by the names in braces."""
    tenant = tenant_of(whose)
    with unit(api.engine) as tx:
        tx.execute(delete(users).where(users.c.tenant_id == tenant, users.c.code.in_(("m9", "p9"))))
    mine = things(api, whose)
    known = {"login": f"of-{whose}", "prefix": key_for(api, tenant), "folder": str(folder)}
    return {**mine, **known, "session": "none", "source": "none", "role": "helper" if whose == "own" else "southern"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_command_works_in_its_school_and_changes_and_tells_nothing_of_another(
    api: Api, typed: Type, data_dir: Path
) -> None:
    """An operator of two schools types an id of the wrong one; and nothing of the other school is ever shown or changed."""
    logins_of(api)
    typed("roles", "set", "helper", "--may", "run.read:tenant")
    theirs = named(api, "abroad", data_dir / "campus")
    mine = named(api, "own", data_dir / "campus")
    before, wrong = abroad(api), []
    for command, does in SCHOOL.items():
        if any(one in does.words for one in ("{run_id}", "{job_id}", "{family}", "{prefix}")):
            mine = named(api, "own", data_dir / "campus")  # what was done to the last one is done
        ends = typed(*command.split(), *does.words.format(**mine).split())
        wrong += _judged(command, "own", ends, ends.exit_code == does.ends)
        if "{" in does.words.replace("{folder}", ""):
            ends = typed(*command.split(), *does.words.format(**theirs).split())
            wrong += _judged(command, "abroad", ends, does.makes or ends.exit_code != 0 or not _says_something(ends))
    assert not wrong, "\n".join(wrong)
    assert abroad(api) == before, "the other school was changed"


def _judged(command: str, whose: str, ends: Result, right: bool) -> list[str]:
    found = []
    if not right or not (ends.exception is None or isinstance(ends.exception, SystemExit)):
        found.append(f"{command} of {whose}: {ends.exit_code} {ends.exception!r} {ends.output[:300]}")
    if CANARY in ends.output:
        found.append(f"{command} of {whose} tells what is the other school's: {ends.output[:300]}")
    return found


def _says_something(ends: Result) -> bool:
    """Whether the answer has anything in it beside zeros and empty lists."""
    said: dict[str, Any] = json.loads(ends.stdout)
    return any(bool(value) for value in said.values())
