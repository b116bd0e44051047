"""`obsync up`: the whole product on this machine."""

import signal
from pathlib import Path

import click

from bootstrap.settings import Settings
from observability.log import configure
from remote.sources.registry import open_source
from workers.cli.console import FAILED, PARTIAL, command, err, fail
from workers.embedded import NoValkey, UnsafeSocketFolder, ValkeyNotReady
from workers.ports import NoFreePort
from workers.supervisor import CannotStart
from workers.up import SIMULATOR_LATENCY_MS, SIMULATOR_RATE, AlreadyUp, NeverReady, Options, RealApp, Up, locked


@click.command()
@click.option("--campus", type=click.Path(path_type=Path), help="A campus folder; without it one is generated.")
@click.option("--colleges", type=click.IntRange(1), default=20, show_default=True, help="Of the generated campus.")
@click.option("--offerings", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--students", type=click.IntRange(0), default=5000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--latency-ms", type=click.IntRange(0), default=SIMULATOR_LATENCY_MS, show_default=True, help="Simulator."
)
@click.option(
    "--rate", type=click.FloatRange(0.1), default=SIMULATOR_RATE, show_default=True, help="Simulator, calls/s."
)
@click.option("--faults", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Fault script, simulator.")
@click.option("--once", is_flag=True, help="Stop when the sync has ended; the exit code says how.")
@command
def up(
    campus: Path | None,
    colleges: int,
    offerings: int,
    students: int,
    seed: int,
    latency_ms: int,
    rate: float,
    faults: Path | None,
    once: bool,
) -> None:
    """Start everything, sync a term with live progress, and keep serving until Ctrl-C."""
    settings = Settings.from_env(make_secrets=True)
    configure("WARNING")
    if campus is not None:
        _check(campus)
    options = Options(campus, colleges, offerings, students, seed, latency_ms, rate, faults, once)
    # SIGINT too: a shell starts background jobs with it ignored, and then `kill -INT` would do nothing.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: _interrupt())
    try:
        with locked(settings.data_dir):
            state = Up(settings, options, err).run()
    except KeyboardInterrupt:
        err.print("stopped")
        return
    except AlreadyUp as error:
        fail(str(error), "Stop it first, or set OBSYNC_DATA_DIR to another folder.")
    except RealApp as error:
        fail(str(error), "Set OBSYNC_WPS_APP_ID and OBSYNC_WPS_APP_KEY, or OBSYNC_DATA_DIR to another folder.")
    except (NoValkey, UnsafeSocketFolder, ValkeyNotReady, CannotStart, NoFreePort, NeverReady) as error:
        fail(str(error), "")
    raise SystemExit({"succeeded": 0, "partially_succeeded": PARTIAL, "running": PARTIAL}.get(state or "", FAILED))


def _interrupt() -> None:
    raise KeyboardInterrupt


def _check(campus: Path) -> None:
    """Say what is wrong with the folder before anything is started."""
    source = open_source(campus.resolve())
    try:
        source.check()
    finally:
        source.close()
