"""What watches the statements of the suite is worth what it notices."""

from __future__ import annotations

import pytest

from tests.fixtures_tenants import WHOLE_INSTALLATION
from tests.tenant_statements import unscoped

NAMED = (
    "SELECT id FROM jobs WHERE jobs.tenant_id = ? AND id IN (?)",
    "SELECT id FROM jobs WHERE (jobs.tenant_id || ?) = ? AND id IN (?)",
    "UPDATE jobs SET state = ? WHERE tenant_id = ?",
    "DELETE FROM jobs WHERE (jobs.tenant_id, jobs.id) IN ((?, ?))",
    "INSERT INTO jobs (tenant_id, id) VALUES (?, ?)",
    "SELECT j.id FROM jobs AS j JOIN mirror AS m ON m.tenant_id = j.tenant_id WHERE j.tenant_id = ?",
    "SELECT t.id FROM tenants AS t WHERE EXISTS (SELECT 1 FROM runs WHERE runs.tenant_id = t.id)",
    "SELECT run_id FROM run_stages WHERE run_id = ?",
    "SELECT id FROM jobs WHERE 0 = 1 AND id > ?",
)
STRAY = (
    "SELECT id FROM jobs WHERE id = ?",
    "SELECT id FROM jobs",
    "SELECT id FROM jobs WHERE 1 = 1",
    "SELECT id FROM jobs WHERE 0 = 1 OR id > ?",
    "SELECT id FROM jobs WHERE tenant_id = ? OR id = ?",
    "SELECT id FROM jobs WHERE NOT tenant_id = ?",
    "UPDATE jobs SET tenant_id = ? WHERE id = ?",
    "DELETE FROM jobs WHERE id = ?",
    "INSERT INTO jobs (id) VALUES (?)",
    "SELECT j.id FROM jobs AS j JOIN mirror AS m ON m.tenant_id = j.tenant_id",
    "SELECT j.id FROM jobs AS j JOIN mirror AS m ON m.target = j.target WHERE j.tenant_id = ?",
    "SELECT id FROM users WHERE tenant_id = ? AND code IN (SELECT code FROM rolls WHERE term = ?)",
    "SELECT 1 FROM jobs WHERE tenant_id = ? UNION ALL SELECT 1 FROM runs",
)


@pytest.mark.parametrize("dialect", ["sqlite", "mysql"])
def test_a_statement_that_names_its_school_passes_and_no_other(dialect: str) -> None:
    """Two schools lie in one database, and a statement that forgets which one it means shows one the other's rows."""
    said = [one for one in NAMED if "||" not in one or dialect == "sqlite"]
    assert [one for one in said if unscoped(one, dialect)] == []
    assert [one for one in STRAY if not unscoped(one, dialect)] == []


def test_few_functions_are_about_every_school_and_each_says_why() -> None:
    """A list of exceptions that grows is no rule any more."""
    assert len(WHOLE_INSTALLATION) <= 10
    assert all(len(reason) > 20 for reason in WHOLE_INSTALLATION.values())
