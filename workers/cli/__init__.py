"""The `obsync` command: one file per group of commands."""

import click

from workers.cli.attendance import checkins, rosters
from workers.cli.audit import audit
from workers.cli.campus import campus
from workers.cli.changes import changes
from workers.cli.classes import classes
from workers.cli.cluster import cluster
from workers.cli.console import Discreet
from workers.cli.days import days
from workers.cli.dead import dead
from workers.cli.failures import failures_
from workers.cli.feeds import feeds
from workers.cli.freshness import freshness
from workers.cli.keys import keys, secrets
from workers.cli.lanes import lanes
from workers.cli.limit import limit
from workers.cli.migrate import migrate
from workers.cli.off_peak import off_peak
from workers.cli.peak import peak
from workers.cli.people import people
from workers.cli.plan import plan
from workers.cli.quarantine import quarantine
from workers.cli.runs import import_, runs, sync
from workers.cli.schedules import schedules
from workers.cli.sources import sources
from workers.cli.switches import switches
from workers.cli.terms import terms
from workers.cli.up import up
from workers.cli.users import roles, users
from workers.cli.verify import repair, verify
from workers.cli.worker import worker


@click.group(cls=Discreet, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Keeps a university's timetable true in WPS 365 calendars."""


for command in (
    audit, campus, changes, checkins, classes, cluster, days, dead, failures_, feeds, freshness, import_, keys, lanes, limit,
    migrate,
    off_peak, peak, people, plan, quarantine, repair, rosters, roles, runs, schedules, secrets, sources, switches, sync, terms,
    up, users, verify, worker,
):  # fmt: skip
    main.add_command(command)
