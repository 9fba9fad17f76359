"""Dagster's home in the data folder, and the processes of ``deepcompress up``.

``<data>/dagster`` is DAGSTER_HOME. Its dagster.yaml is written anew at every start, so that an
update of the package reaches an old folder.

Not here: the viewer and its like (companions.py), and what Dagster loads (defs/).
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import dagster as dg
import psutil

from deepcompress_dagster.orchestration import ingest, run_records
from deepcompress_dagster.orchestration.companions import Companion, Companions
from deepcompress_dagster.orchestration.custody import Custody, FolderTakenError
from deepcompress_dagster.ports import require_free
from deepcompress_dagster.process_hooks import stop_signals
from deepcompress_dagster.settings import ParseOn, Settings

TEMPLATE = Path(__file__).with_name("dagster.yaml")
DEFINITIONS = "deepcompress_dagster.definitions"

START_TIMEOUT_S = 120.0
"""Time for the UI to answer; a first start on a slow disk takes half a minute."""

STOP_TIMEOUT_S = 8.0
"""Time for a run to put its pages away after Ctrl-C, before it is killed."""


SENSOR_TIMEOUT_S = 300
"""Dagster gives up on a tick after 60 s; a large object takes longer to fetch."""

MOST_RESTARTS = 10
"""In an hour; what dies more often has a reason that starting it again does not mend."""

CODE_SERVER_LOOK_S = 2.0
CODE_SERVER_GONE_S = 6.0
"""How often the code server is looked for, and how long it may be gone: a reload replaces it."""

CODE_SERVER_WORDS = frozenset({"api", "grpc"})
"""In the command line of the process that has the definitions loaded."""


class ServeError(RuntimeError):
    """Dagster cannot be started; the message says why and what to do."""


def install_home(settings: Settings) -> Path:
    """Make ``<data>/dagster`` ready to be DAGSTER_HOME and return it."""
    home = settings.data_dir / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The persistent Dagster instance of the data folder."""
    home = install_home(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        yield instance


def serve(settings: Settings, *, host: str, port: int, log_file: Path | None) -> int:
    """Run UI, daemon and code server until SIGINT or SIGTERM; returns the exit status.

    When one of them dies all are started again, up to ``MOST_RESTARTS`` times in an hour. The
    viewer runs beside them, and the warm process unless the settings have runs parse elsewhere.
    Raises PortTakenError when a port is taken, ServeError when the data folder is served already,
    when the UI does not come up, or they die more often.
    """
    custody = Custody(settings.data_dir, "up")
    try:
        custody.take()
    except FolderTakenError as error:
        raise ServeError(str(error)) from None
    require_free(host, port, "--port")
    parse_on = settings.parse_on if "parse_on" in settings.model_fields_set else ParseOn.WARM
    companions = [*_warm(parse_on), *_web(settings, host)]
    for folder in settings.inbox:
        if isinstance(folder, Path):
            folder.mkdir(parents=True, exist_ok=True)
    watched = os.pathsep.join(map(str, settings.inbox))
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(install_home(settings)),
        "PYTHONSAFEPATH": "1",
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(SENSOR_TIMEOUT_S),
        "DEEPCOMPRESS_INBOX": watched,
        "DEEPCOMPRESS_DATA_DIR": str(settings.data_dir),
        "DEEPCOMPRESS_MODELS_DIR": str(settings.models_dir),
        "DEEPCOMPRESS_METRICS_PORT": str(settings.metrics_port),
        "DEEPCOMPRESS_VIEWER_PORT": str(settings.viewer_port),
        "DEEPCOMPRESS_PARSE_ON": parse_on.value,
    }
    command = [sys.executable, "-m", "dagster", "dev", "-m", DEFINITIONS]
    command += ["--host", host, "--port", str(port)]
    deaths: list[float] = []
    with ExitStack() as stack:
        log = _log(stack, log_file)
        stopping: list[int] = []
        stack.enter_context(stop_signals(stopping.append))
        beside = Companions(companions, environment, log)
        stack.callback(beside.stop)
        beside.start()
        while not stopping:
            _recover(settings)
            child = subprocess.Popen(  # noqa: S603
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                _wait_for_ui(child, host, port, stopping, log_file)
                print(f"Watching {watched}; the UI is at http://{host}:{port}", flush=True)
                _watch(child, stopping, beside.tend)
            finally:
                _stop(child)
            if stopping:
                break
            deaths = [at for at in deaths if at > time.monotonic() - 3600] + [time.monotonic()]
            if len(deaths) > MOST_RESTARTS:
                raise ServeError(f"Dagster died {len(deaths)} times in an hour; see its log")
            print("a process of Dagster died; starting it again", flush=True)
        return 0


def _warm(parse_on: ParseOn) -> list[Companion]:
    """The process in which runs parse, where that is not their own."""
    if parse_on is not ParseOn.WARM:
        return []
    module = "deepcompress_dagster.hosts.warm"
    return [Companion("warm process", module, ("--while-parent-lives",))]


def _web(settings: Settings, host: str) -> list[Companion]:
    """The viewer and the metrics, if they have ports. Raises PortTakenError."""
    known = (
        ("viewer", "viewer", settings.viewer_port, "Results are at http://{}:{}"),
        ("metrics", "metrics_server", settings.metrics_port, "Metrics are at http://{}:{}/metrics"),
    )
    chosen = []
    for name, module, port, says in known:
        if port:
            require_free(host, port, f"--{name}-port")
            place = (host, str(port))
            module = f"deepcompress_dagster.{module}"
            chosen.append(Companion(name, module, place, says.format(*place)))
    return chosen


def _watch(
    child: "subprocess.Popen[bytes]", stopping: Sequence[int], tend: Callable[[], object] = list
) -> None:
    """Return when Dagster is to stop, when it has ended, or when its code server is gone.

    ``dagster dev`` ends when its daemon or webserver does, and goes on without a code server for
    ever: nothing is loaded, launched or looked at then.
    """
    seen_at = look_at = time.monotonic()
    has_been_seen = False
    while not stopping and child.poll() is None:
        time.sleep(0.2)
        if time.monotonic() < look_at:
            continue
        look_at = time.monotonic() + CODE_SERVER_LOOK_S
        tend()
        if _has_code_server(child):
            has_been_seen, seen_at = True, time.monotonic()
        elif has_been_seen and time.monotonic() - seen_at > CODE_SERVER_GONE_S:
            return


def _has_code_server(child: "subprocess.Popen[bytes]") -> bool:
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(child.pid).children(recursive=True):
            with suppress(psutil.Error):
                if CODE_SERVER_WORDS.issubset(process.cmdline()):
                    return True
    return False


def _recover(settings: Settings) -> None:
    """Clear away runs that died, and tell a new Dagster home what the warehouse holds."""
    from deepcompress_dagster.warehouse import Warehouse

    with open_instance(settings) as instance:
        run_records.reap_dead_runs(instance, settings.data_dir)
        ingest.reconcile_home(instance, Warehouse(settings.data_dir))


def _log(stack: ExitStack, log_file: Path | None) -> IO[bytes] | None:
    if log_file is None:
        return None
    log_file.parent.mkdir(parents=True, exist_ok=True)
    return stack.enter_context(log_file.open("ab"))


def _wait_for_ui(
    child: "subprocess.Popen[bytes]",
    host: str,
    port: int,
    stopping: Sequence[int],
    log_file: Path | None,
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not stopping:
        if child.poll() is not None:
            where = log_file or "its output above"
            raise ServeError(f"Dagster ended with status {child.returncode}; see {where}")
        try:
            with socket.create_connection((host, port), timeout=1):
                return
        except OSError:
            time.sleep(0.2)
        if time.monotonic() > deadline:
            raise ServeError(f"the UI did not answer at {host}:{port} in {START_TIMEOUT_S:.0f} s")


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """End Dagster and every process below it: runs first get the chance to cancel."""
    family = _family(child.pid)
    for process in family:
        _signal(process, signal.SIGINT)
    _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=STOP_TIMEOUT_S)


def _family(session: int) -> list[psutil.Process]:
    """The living processes of a session, those whose parent is gone as well."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                found.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    return found


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
