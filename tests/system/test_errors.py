"""What people get wrong: one clear message with the remedy, an exit code, and nothing changed."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Make
from tests.system.product import Answer, Product

pytestmark = pytest.mark.system

Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def serving(make_shared_product: Make) -> Product:
    """A product with a synced term, so that there is something that an error could change."""
    product = make_shared_product()
    product.start()
    product.until_succeeded(60)
    return product


@contextlib.contextmanager
def unchanged(product: Product) -> Iterator[None]:
    """Sessions, mirror, lane jobs and what WPS holds are the same afterwards."""
    before = product.fingerprint()
    yield
    assert product.fingerprint() == before


def is_one_clear_message(answer: Answer, *names: str) -> None:
    """A failure as people should see it: one message that names the thing and the remedy, no traceback, exit code 1."""
    assert answer.code == 1, f"exit code {answer.code}\n{answer.out}{answer.err}"
    said = answer.err + answer.out
    assert "Traceback" not in said
    assert said.count("✗") == 1, said
    message = " ".join(said.partition("✗")[2].split())  # lines may be broken anywhere between words
    assert len(message) < 400, message
    for name in names:
        assert name in message, f"nothing about {name!r} in: {message}"


def wrong_column(folder: Path) -> None:
    file = folder / "meetings.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("kkh,", "course_no,", 1), encoding="utf-8")


def no_meetings(folder: Path) -> None:
    (folder / "meetings.csv").unlink()


def not_utf8(folder: Path) -> None:
    """The bad byte comes late, when much has been read already."""
    file = folder / "meetings.csv"
    rows = file.read_bytes().splitlines(keepends=True)
    rows[-2] = rows[-2].decode().encode("gb18030")
    file.write_bytes(b"".join(rows))


def broken_gzip(folder: Path) -> None:
    """A file whose transfer broke off."""
    file = folder / "meetings.csv"
    packed = gzip.compress(file.read_bytes())
    file.unlink()
    (folder / "meetings.csv.gz").write_bytes(packed[: len(packed) * 3 // 4])


SOURCES = [
    pytest.param(wrong_column, ("meetings.csv", "kkh", "Name the columns"), id="wrong column"),
    pytest.param(no_meetings, ("meetings.csv", "Add it"), id="no meetings"),
    pytest.param(not_utf8, ("meetings.csv", "not UTF-8", "Save it as"), id="not utf-8"),
    pytest.param(broken_gzip, ("meetings.csv.gz", "broken", "Write the file again"), id="broken gzip"),
]


@pytest.mark.parametrize(("spoil", "names"), SOURCES)
def test_an_unusable_source_is_refused_and_nothing_has_changed(
    serving: Product, tmp_path: Path, spoil: Spoil, names: tuple[str, ...]
) -> None:
    """A spoiled export must never reach calendars, not even the half of it that could be read."""
    folder = tmp_path / "campus"
    shutil.copytree(serving.campus, folder)
    spoil(folder)
    with unchanged(serving):
        is_one_clear_message(serving.obsync("sync", str(folder)), *names)
    assert serving.plan()["operations"] == 0


def test_up_refuses_a_folder_it_cannot_use_before_it_starts_anything(make_product: Make, tmp_path: Path) -> None:
    """Whoever mistypes the folder should know at once, not after a minute."""
    product = make_product(campus=tmp_path / "nowhere")
    is_one_clear_message(product.obsync("up", "--once", *product.arguments), "nowhere", "folder")
    assert not (product.data_dir / "log").exists()


@pytest.mark.parametrize("command", ["sync", "up"])
def test_an_unreachable_database_is_named_with_the_remedy(serving: Product, make_product: Make, command: str) -> None:
    """The first thing that goes wrong on a server is its database's address."""
    place = f"127.0.0.1:{closed_port()}"
    url = f"mysql://obsync:secret@{place}/obsync"
    with unchanged(serving):
        answer = _run(command, serving, make_product, OBSYNC_DATABASE_URL=url)
    is_one_clear_message(answer, place, "OBSYNC_DATABASE_URL")
    assert "secret" not in answer.err


@pytest.mark.parametrize("command", ["sync", "up"])
def test_an_unreachable_redis_is_named_with_the_remedy(serving: Product, make_product: Make, command: str) -> None:
    """Without the broker nothing would be sent: better said than found out."""
    place = f"127.0.0.1:{closed_port()}"
    with unchanged(serving):
        answer = _run(command, serving, make_product, OBSYNC_BROKER_URL=f"redis://:secret@{place}/0")
    is_one_clear_message(answer, place, "OBSYNC_BROKER_URL")
    assert "secret" not in answer.err


@pytest.mark.parametrize("command", ["sync", "up"])
@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("OBSYNC_WPS_RATE", "abc", "number"), ("OBSYNC_LANE_LEASE_S", "1.5", "OBSYNC_WPS_TIMEOUT_S")],
)
def test_a_bad_setting_is_named_with_the_remedy(
    serving: Product, make_product: Make, command: str, name: str, value: str, why: str
) -> None:
    """A setting that is silently replaced by a default is found out in production."""
    with unchanged(serving):
        is_one_clear_message(_run(command, serving, make_product, **{name: value}), name, value, why)


def test_a_wrong_key_of_the_wps_app_ends_the_run_with_the_remedy(serving: Product, make_product: Make) -> None:
    """A typing error in a credential must not look like a slow sync."""
    credentials = {"OBSYNC_WPS_APP_ID": "sim-app", "OBSYNC_WPS_APP_KEY": "wrong"}
    address = {"OBSYNC_WPS_BASE_URL": f"http://127.0.0.1:{serving.port}"}
    with unchanged(serving):
        product = make_product(settings={**credentials, **address})
        answer = product.obsync("up", "--once", *product.arguments)
    assert answer.code == 1
    assert "OBSYNC_WPS_APP_KEY" in answer.err and "Traceback" not in answer.err
    for table in ("sessions", "mirror", "jobs WHERE lane IS NOT NULL"):
        assert product.query(f"SELECT count(*) AS n FROM {table}")[0]["n"] == 0, table


def _run(command: str, serving: Product, make_product: Make, **settings: str) -> Answer:
    """`obsync sync` on the synced product, or `obsync up` on a new folder, with other settings."""
    if command == "sync":
        return serving.obsync("sync", settings=settings)
    product = make_product()
    return product.obsync("up", "--once", *product.arguments, settings=settings)


def closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
