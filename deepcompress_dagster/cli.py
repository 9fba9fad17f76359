"""The ``deepcompress`` command: thin, calls the same code that the assets call.

What a command needs is imported when it runs: Dagster takes a second of CPU, settings and Rich a
quarter, and ``--help`` and ``query`` do with less.

What belongs here: arguments, and what is printed. What does not: what a command does, which the
assets do as well (orchestration/, warehouse/).
"""

import ctypes
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.export.forms import TABLES, ExportError, Form
from deepcompress_dagster.records import DocumentStatus
from deepcompress_dagster.warehouse.types import Format

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from deepcompress_dagster.orchestration.execution.executor import RunProgress
    from deepcompress_dagster.orchestration.ingest import RunOutcome
    from deepcompress_dagster.settings import Settings
    from deepcompress_dagster.warehouse import Place, RemoteFile, Warehouse

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # among them may be a password
    help="PDFs to SQL tables.",
)
models_app = typer.Typer(no_args_is_help=True, help="The weights: what there is, and getting it.")
app.add_typer(models_app, name="models")

EXIT_FAILED = 1
"""Something was done and some of it failed."""

EXIT_USAGE = 2
"""The call cannot be carried out: bad settings, no such file, bad SQL."""

EXIT_INTERRUPTED = 130
"""Stopped by Ctrl-C; finished pages are kept."""

LONGEST_LISTING = 50
"""Lines that ``status`` shows of one kind."""

UNCHANGED = "up to date, nothing was computed; --force computes it again"
"""What ``process`` says of a document that it left alone."""


class UsageError(Exception):
    """The call cannot be carried out; the message says why and what to do."""


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address the UI listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the UI.", min=1, max=65535)] = 3000,
    viewer_port: Annotated[
        int | None,
        typer.Option(help="Port of the viewer; 0: none. Default: the settings'.", min=0, max=65535),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Port of the metrics; 0: none. Default: the settings'.", min=0, max=65535
        ),
    ] = None,
    log_file: Annotated[
        Path | None, typer.Option(help="Write Dagster's log here instead of the terminal.")
    ] = None,
) -> None:
    """Start Dagster's UI, its daemon, the sensor on the inbox, and the viewer. Ctrl-C stops all."""
    with _clear_errors():
        from deepcompress_dagster.orchestration import server

        ports = {"viewer_port": viewer_port, "metrics_port": metrics_port}
        settings = _settings(**{name: at for name, at in ports.items() if at is not None})
        try:
            status = server.serve(settings, host=host, port=port, log_file=log_file)
        except server.ServeError as error:
            raise UsageError(str(error)) from error
        raise typer.Exit(status)


@app.command()
def warm() -> None:
    """Keep models loaded for the runs of this data folder, as `up` does. Ctrl-C stops it."""
    with _clear_errors():
        from deepcompress_dagster.hosts.warm.server import WarmProcess

        WarmProcess(_settings()).serve()


@app.command()
def view(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 3001,
) -> None:
    """Show documents, pages and what was read on them in the browser. Ctrl-C stops it."""
    with _clear_errors():
        from deepcompress_dagster.viewer import server

        server.serve(_settings(), host=host, port=port)


@app.command()
def metrics(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 9464,
) -> None:
    """Serve the metrics of the data folder to Prometheus, at /metrics. Ctrl-C stops it."""
    with _clear_errors():
        from deepcompress_dagster import metrics_server

        metrics_server.serve(_settings(), host=host, port=port)


@app.command()
def mcp() -> None:
    """Serve search, pages, tables and queries to a language model, over standard input (MCP)."""
    with _clear_errors():
        try:
            from deepcompress_dagster.mcp_server import create_server
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{error.name} is not installed: pip install 'deepcompress-dagster[mcp]'"
            ) from error

        settings = _settings()
        warehouse = _warehouse(settings)
        _require_warehouse(warehouse)
        create_server(warehouse, settings).run()


@app.command()
def process(
    paths: Annotated[
        list[str],
        typer.Argument(help="Documents, folders of them, or addresses in an object store."),
    ],
    pages: Annotated[str, typer.Option(help="Pages of each document, as in 1-5,8.")] = "",
    assets: Annotated[str, typer.Option(help="Comma list of assets.")] = ",".join(ASSETS),
    force: Annotated[bool, typer.Option(help="Compute again what is up to date.")] = False,
) -> None:
    """Parse PDFs, e-books and images now, in this process; tables and UI agree with it."""
    with _clear_errors(), _workplace() as (settings, instance, warehouse):
        from deepcompress_dagster import page_ranges
        from deepcompress_dagster.orchestration import ingest
        from deepcompress_dagster.orchestration.execution.registration import register_documents

        files, refusals = _files(paths)
        for refusal in refusals:
            _notes().print(refusal, style="red", markup=False)
        if not files:
            raise UsageError(f"no documents in {', '.join(paths)}")
        chosen = _selection(assets)
        numbers = page_ranges.parse(pages)
        registered = register_documents(
            instance, warehouse, files, recall=[_place(path) for path in paths]
        )
        refused = [found for found in registered if found.error]
        for found in refused:
            _notes().print(f"{found.path}: {found.error}", style="red", markup=False)
        ids = list(dict.fromkeys(found.document_id for found in registered if found.document_id))
        with _progress_bar() as listen:
            outcome, taken = ingest.materialize_with_attachments(
                instance,
                warehouse,
                _definitions(settings),
                ids,
                chosen,
                pages=numbers or None,
                documents_per_run=settings.documents_per_run,
                skip_unchanged=not force,
                listen=listen,
            )
        _report(outcome, warehouse, taken)
        if refused or refusals:
            raise typer.Exit(EXIT_FAILED)


@app.command()
def retry(
    documents: Annotated[
        list[str] | None, typer.Argument(help="Documents by id; none means all that failed.")
    ] = None,
) -> None:
    """Try documents again that did not come out complete."""
    with _clear_errors(), _workplace() as (settings, instance, warehouse):
        from deepcompress_dagster.orchestration import ingest

        wanted = _known_documents(warehouse, documents or [])
        tried = ingest.retryable(instance, warehouse)
        with _progress_bar() as listen:
            outcome = ingest.retry_failed(
                instance,
                warehouse,
                _definitions(settings),
                wanted,
                documents_per_run=settings.documents_per_run,
                listen=listen,
            )
        if not outcome.run_ids:
            typer.echo("nothing to retry")
        _report(outcome, warehouse, [name for name in tried if not wanted or name in wanted])


@app.command()
def forget(
    documents: Annotated[list[str], typer.Argument(help="Documents by id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete documents: rows, images, kept PDFs, and what Dagster remembers of them."""
    with _clear_errors(), _workplace(will_write=False) as (_, instance, warehouse):
        from deepcompress_dagster.orchestration import forgetting

        chosen = _known_documents(warehouse, documents)
        lying = [
            source
            for source in warehouse.sources(chosen)
            if isinstance(source, str) or source.is_file()
        ]
        for row in warehouse.documents(chosen):
            typer.echo(f"{_named(row.document_id, row.file_name)}, {row.page_count or '?'} pages")
        if not yes:
            typer.confirm("Delete everything that is known of them?", abort=True)
        forgetting.forget_documents(instance, warehouse, chosen)
        typer.echo(f"forgotten: {len(chosen)}")
        for path in lying:
            typer.echo(f"{path} lies where it was and is not taken up again: remove it yourself")


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SQL query on the newest snapshot.")],
    form: Annotated[Format, typer.Option("--format", help="Form of the result.")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Query the tables, read-only; runs may be writing meanwhile."""
    with _clear_errors():
        if form is Format.PARQUET and output is None and sys.stdout.isatty():
            raise UsageError("parquet is no text: give a file with --output, or a pipe")
        target = output if output is not None else sys.stdout.buffer
        warehouse = _warehouse(_settings())
        _require_warehouse(warehouse)
        warehouse.export(sql, form, target)


@app.command()
def export(
    documents: Annotated[
        list[str] | None, typer.Argument(help="Documents by id; none means all current ones.")
    ] = None,
    to: Annotated[
        str, typer.Option(help="Folder, or s3://BUCKET/PREFIX, gs://..., az://...")
    ] = "export",
    form: Annotated[Form, typer.Option("--format", help="Form of the files.")] = Form.PARQUET,
    table: Annotated[
        list[str] | None,
        typer.Option(help="Table or view to export; may be repeated. Default: the main ones."),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only documents processed at or after (UTC).")
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what the target has not as it is now.")
    ] = False,
) -> None:
    """Write documents as files: Parquet, CSV, JSON lines, Markdown or Docling's JSON.

    Documents that the target has and that were forgotten or replaced are removed there.
    """
    with _clear_errors():
        from deepcompress_dagster.export import export as exporting

        warehouse = _warehouse(_settings())
        _require_warehouse(warehouse)
        request = exporting.Request(
            form=form,
            tables=tuple(table or TABLES),
            documents=tuple(documents or ()),
            since=since,
            only_changed=changed,
        )
        try:
            done = exporting.export(warehouse, to, request)
        except ExportError as error:
            raise UsageError(str(error)) from error
        typer.echo(
            f"{to}: {done.written} documents written ({done.files} files, {done.bytes} bytes),"
            f" {done.unchanged} as they were, {done.removed} removed"
        )


@app.command()
def schema(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tables and views; none means all.")
    ] = None,
    markdown: Annotated[bool, typer.Option(help="As Markdown, for a document.")] = False,
) -> None:
    """Tables, views and columns with their types and what they mean."""
    with _clear_errors():
        from deepcompress_dagster.warehouse import dictionary

        shown = dictionary.entries(names or [])
        typer.echo((dictionary.markdown if markdown else dictionary.plain_text)(shown))


@app.command()
def search(
    words: Annotated[str, typer.Argument(help="Words to look for.")],
    document: Annotated[
        list[str] | None, typer.Option(help="Only in this document, by id; may be repeated.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only in documents first seen at or after (UTC).")
    ] = None,
    limit: Annotated[int, typer.Option(help="Results at most.", min=1, max=1000)] = 10,
) -> None:
    """Search the text of all documents: the best rows with their page, box and a snippet."""
    with _clear_errors():
        from deepcompress_dagster.viewer import addresses

        settings = _settings()
        warehouse = _warehouse(settings)
        _require_warehouse(warehouse)
        wanted = _known_documents(warehouse, document or [])
        hits = warehouse.search(words, documents=wanted, since=since, limit=limit)
        for hit in hits:
            box = ", ".join(f"{value:.0f}" for value in (hit.x0, hit.y0, hit.x1, hit.y1))
            typer.echo(f"{hit.file_name}, page {hit.page_number}, {hit.label} at ({box}) pt")
            typer.echo(f"    {' '.join(hit.snippet.split())}")
            if viewer := settings.viewer_address:
                place = addresses.region(viewer, hit.document_id, hit.page_number, hit.region_id)
                typer.echo(f"    {place}")
        if not hits:
            typer.echo("nothing found")


@app.command()
def overlay(
    documents: Annotated[list[str], typer.Argument(help="Documents by id.")],
    output: Annotated[Path, typer.Option(help="Folder for the images.")] = Path("overlays"),
    pages: Annotated[str, typer.Option(help="Pages of each document, as in 1-5,8.")] = "",
) -> None:
    """Draw the regions and table cells that were found over the page images."""
    with _clear_errors():
        from deepcompress_dagster import overlay as overlays
        from deepcompress_dagster import page_ranges

        warehouse = _warehouse(_settings())
        wanted = set(page_ranges.parse(pages))
        output.mkdir(parents=True, exist_ok=True)
        for name in _known_documents(warehouse, documents):
            for page in overlays.page_overlays(warehouse, name):
                if not wanted or page.page_number in wanted:
                    target = output / f"{name}-{page.page_number:05d}.png"
                    overlays.draw(page).save(target)
                    typer.echo(target)


@app.command()
def status() -> None:
    """Documents by state, failures with reasons, stale partitions, and what is running."""
    with _clear_errors():
        settings = _settings()
        warehouse = _warehouse(settings)
        counts = warehouse.counts()
        typer.echo(
            "documents  " + ", ".join(f"{counts[state]} {state}" for state in DocumentStatus)
        )
        _tell_of_runs(settings, warehouse)
        _tell_of_warm_process(settings)
        _listing(
            "failures",
            [
                f"{_named(fault.document_id, fault.file_name)} {_where(fault.page_number)}"
                f"{fault.stage}: {fault.message}"
                for fault in warehouse.failures()
            ],
        )
        _listing(
            "stale",
            [
                f"{_named(stale.document_id, stale.file_name)} {stale.asset}: {stale.reason}"
                for stale in warehouse.stale_partitions()
            ],
        )


@app.command()
def doctor() -> None:
    """Look at versions, device, models, folders, locks, warehouse; exit 1 if something is amiss."""
    with _clear_errors():
        from deepcompress_dagster.orchestration import doctor as looking

        amiss = 0
        for finding in looking.findings(_settings()):
            mark = "ok" if finding.advice is None else "!!"
            typer.echo(f"{mark}  {finding.subject}: {finding.state}")
            if finding.advice is not None:
                typer.echo(f"      {finding.advice}")
                amiss += 1
        if amiss:
            raise typer.Exit(EXIT_FAILED)


@models_app.command("list")
def list_models() -> None:
    """Models with task, licence of weights and training data, size, origin, present or not."""
    with _clear_errors():
        from deepcompress_dagster.models import inventory

        for entry in inventory.entries(_settings()):
            mark = "*" if entry.in_use else " "
            state = "present" if entry.present else "missing"
            checkpoint = entry.checkpoint
            size = f"{checkpoint.size_bytes / 1e6:.0f} MB" if checkpoint.size_bytes else "?"
            typer.echo(f"{mark} {checkpoint.task:<12}{checkpoint.name:<24}{state:<9}{size:>8}")
            typer.echo(f"    weights {checkpoint.licence}; trained on {checkpoint.training_data}")
            typer.echo(f"    from {entry.origin}")
        typer.echo("* used with the present settings")


@models_app.command()
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models; none means those of the settings.")
    ] = None,
) -> None:
    """Get weights onto this machine, checked against their pinned hashes."""
    with _clear_errors():
        from deepcompress_dagster.models import pull as pulling

        settings = _settings()
        with _bar("{task.percentage:>3.0f} %") as bar:
            bars: dict[str, TaskID] = {}

            def show(name: str, done: int, total: int) -> None:
                if name not in bars:
                    bars[name] = bar.add_task(name, total=total)
                bar.update(bars[name], completed=done, total=total)

            pulled = pulling.pull(settings, names or (), show)
        for model in pulled:
            what = "fetched" if model.fetched else "already here"
            typer.echo(f"{model.checkpoint.name}: {what} ({model.folder})")


# Where the commands work


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn what a user can mend into one line and an exit status."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except (UsageError, ValueError) as error:
        _notes().print(f"deepcompress: {error}", style="red", markup=False)
        raise typer.Exit(EXIT_USAGE) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(EXIT_INTERRUPTED) from error
    except Exception as error:
        from deepcompress_dagster.models.predictor import ModelError
        from deepcompress_dagster.orchestration import disk
        from deepcompress_dagster.warehouse import WarehouseError

        is_ours = isinstance(error, (ModelError, WarehouseError))
        reason = str(error) if is_ours else disk.disk_reason(error)
        reason = reason or disk.permission_reason(error)
        if reason is None and not isinstance(error, OSError):
            raise
        reason = reason or str(error)
        _notes().print(f"deepcompress: {reason}", style="red", markup=False)
        raise typer.Exit(EXIT_USAGE) from error


@contextmanager
def _workplace(
    *, will_write: bool = True
) -> "Iterator[tuple[Settings, dg.DagsterInstance, Warehouse]]":
    """Settings, the persistent Dagster instance and the warehouse, in agreement with each other.

    Raises UsageError where ``will_write`` and there is no room to.
    """
    from deepcompress_dagster.orchestration import disk, server

    settings = _settings()
    if will_write and (problem := disk.blocked_reason(settings)):
        raise UsageError(problem)
    logging.getLogger("dagster").setLevel(logging.ERROR)
    with server.open_instance(settings) as instance:
        yield settings, instance, _warehouse(settings)


def _settings(**overrides: object) -> "Settings":
    from deepcompress_dagster.settings import load_settings

    return load_settings(**overrides)


def _warehouse(settings: "Settings") -> "Warehouse":
    from deepcompress_dagster.warehouse import Warehouse

    return Warehouse(settings.data_dir)


def _require_warehouse(warehouse: "Warehouse") -> None:
    if not warehouse.exists:
        raise UsageError(
            f"there is no warehouse in {warehouse.data_dir}: process a PDF first, or name the"
            " folder with DEEPCOMPRESS_DATA_DIR"
        )


def _definitions(settings: "Settings") -> "dg.Definitions":
    from deepcompress_dagster.definitions import build_definitions

    return build_definitions(settings)


def _place(told: str) -> "Place":
    """An address as it is told, a path as one."""
    from deepcompress_dagster import object_store

    return object_store.check_address(told) if object_store.is_address(told) else Path(told)


def _files(told: Sequence[str]) -> "tuple[list[Path | RemoteFile], list[str]]":
    """The files and objects named, and the documents below the folders and addresses named; and
    why others are refused."""
    from deepcompress_dagster import document_names
    from deepcompress_dagster.orchestration import inbox

    files: list[Path | RemoteFile] = []
    refusals: list[str] = []
    try:
        for place in map(_place, told):
            if isinstance(place, Path) and not place.is_dir():
                if not place.exists():
                    raise UsageError(f"{place}: no such file or folder")
                if refusal := document_names.refusal(place.name):
                    refusals.append(refusal)
                else:
                    files.append(place)
                continue
            one = inbox.object_at(place) if isinstance(place, str) else None
            for found in [one] if one else inbox.candidates(place, settle_s=0):
                if found.refusal:
                    refusals.append(found.refusal)
                else:
                    files.append(found.file)
    except inbox.InboxError as error:
        raise UsageError(str(error)) from error
    return files, refusals


def _selection(assets: str) -> list[str]:
    chosen = [name.strip() for name in assets.split(",") if name.strip()]
    unknown = sorted(set(chosen) - set(ASSETS))
    if unknown or not chosen:
        raise UsageError(f"--assets {assets}: choose from {', '.join(ASSETS)}")
    return chosen


def _known_documents(warehouse: "Warehouse", documents: Sequence[str]) -> list[str]:
    known = {row.document_id for row in warehouse.documents(documents)} if documents else set()
    unknown = [name for name in documents if name not in known]
    if unknown:
        raise UsageError(f"no such document: {', '.join(unknown)}; deepcompress status lists them")
    return list(documents)


# What the commands show


@functools.cache
def _notes() -> "Console":
    """Where people are told of what goes on beside the result."""
    from rich.console import Console

    # A line broken within a path or a command cannot be copied; a terminal wraps by itself.
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _bar(*columns: str) -> "Progress":
    """A bar with these texts about a task behind it."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *map(TextColumn, columns),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=_notes(),
        disable=not _notes().is_terminal,
    )


@contextmanager
def _progress_bar() -> "Iterator[Callable[[RunProgress], None]]":
    """A bar over pages; gives what is to be told of a run's progress."""
    with _bar("{task.completed}/{task.total} pages", "{task.fields[note]}") as bar:
        task = bar.add_task("parsing", total=None, note="")

        def show(progress: "RunProgress") -> None:
            note = f"{progress.documents_done}/{progress.documents} documents"
            bar.update(task, completed=progress.pages_done, total=progress.pages, note=note)

        yield show


def _tell_of_runs(settings: "Settings", warehouse: "Warehouse") -> None:
    """What is queued, running, or cancelled; Dagster is asked only where there may be such."""
    from deepcompress_dagster.orchestration import run_store

    runs, busy, waiting = 0, 0, []
    if run_store.may_tell_of_runs(settings.data_dir):
        with _workplace(will_write=False) as (_, instance, _):
            from deepcompress_dagster.orchestration import run_records

            running = run_records.unfinished_runs(instance)
            runs, busy = len(running), len(run_records.documents_in(instance, running))
            waiting = [
                _named(row.document_id, row.file_name)
                for row in warehouse.documents(run_records.cancelled_documents(instance))
                if row.status is not DocumentStatus.COMPLETE
            ]
    typer.echo(f"runs       {runs} queued or running, {busy} documents")
    _listing("cancelled", [f"{name}: deepcompress retry takes it up" for name in waiting])


def _tell_of_warm_process(settings: "Settings") -> None:
    """The process in which runs parse, if one lives."""
    from deepcompress_dagster.file_lock import is_held
    from deepcompress_dagster.hosts.warm import place

    if is_held(place.lock_path(settings.data_dir)):
        from deepcompress_dagster.hosts.errors import HostError
        from deepcompress_dagster.hosts.warm import client

        try:
            found = client.status(settings.data_dir)
        except HostError as error:
            typer.echo(f"warm       {error}")
        else:
            typer.echo(f"warm       {client.in_words(found) if found else 'ended just now'}")


def _report(outcome: "RunOutcome", warehouse: "Warehouse", ids: Sequence[str]) -> None:
    """Say what became of the documents; leaves with an exit status unless all is well."""
    touched = {
        state.document_id
        for state in warehouse.asset_states(ids)
        if state.run_id in outcome.run_ids
    }
    for row in warehouse.documents(ids):
        reason = outcome.failures.get(row.document_id) or row.error or ""
        if row.status is DocumentStatus.COMPLETE and row.document_id not in touched and not reason:
            reason = UNCHANGED
        name = _named(row.document_id, row.file_name)
        typer.echo(f"{row.status:<10} {name}  {reason}".rstrip())
    if outcome.is_interrupted:
        _notes().print("stopped; finished pages are kept, the next run goes on from there")
        raise typer.Exit(EXIT_INTERRUPTED)
    if outcome.error:
        _notes().print(f"deepcompress: {outcome.error}", style="red", markup=False)
    if not outcome.success:
        raise typer.Exit(EXIT_FAILED)


def _listing(title: str, lines: Sequence[str]) -> None:
    typer.echo(f"{title:<10} {len(lines)}")
    for line in lines[:LONGEST_LISTING]:
        typer.echo(f"  {line}")
    if len(lines) > LONGEST_LISTING:
        typer.echo(f"  and {len(lines) - LONGEST_LISTING} more")


def _named(document_id: str, file_name: str) -> str:
    """A document by its id and by the name of the file that people know."""
    return f"{document_id} ({file_name})"


def _where(page_number: int | None) -> str:
    return "" if page_number is None else f"page {page_number} "


def main() -> None:
    """Entry point of the ``deepcompress`` command."""
    _share_one_heap()
    app()


_M_ARENA_MAX = -8
"""mallopt's number for the most heaps (glibc's malloc.h)."""


def _share_one_heap() -> None:
    """Have the threads of this process and of its children share one heap, where glibc is used.

    glibc gives each thread a heap, and each keeps what its largest page took. Once a second thread
    runs it is too late.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        os.environ["MALLOC_ARENA_MAX"] = "1"
        with suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


if __name__ == "__main__":
    main()
