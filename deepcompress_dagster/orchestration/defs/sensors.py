"""The sensor: takes up what lies in the inbox and asks for the work that is left to do.

A tick leaves nothing half done. What it registers is in the warehouse; partitions and runs are
derived from there, so a tick that dies is made good by the next one. The rules are plain functions,
the sensor itself only reads clocks, folders and Dagster.

Which files are PDFs at rest is inbox.py's, which runs are dead run_records.py's.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from deepcompress_dagster.orchestration import disk, run_records
from deepcompress_dagster.orchestration.custody import Custody, FolderTakenError
from deepcompress_dagster.orchestration.defs import jobs
from deepcompress_dagster.orchestration.execution.registration import announce
from deepcompress_dagster.orchestration.execution.reporting import report_unreported
from deepcompress_dagster.orchestration.inbox import (
    Backoff,
    Candidate,
    InboxError,
    candidates,
)
from deepcompress_dagster.orchestration.naming import PLAIN, Naming
from deepcompress_dagster.orchestration.partitions import batches
from deepcompress_dagster.passwords import load_passwords
from deepcompress_dagster.pdf.errors import transient_error_types
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.settings import Inbox, Settings, SettingsError

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

    from deepcompress_dagster.warehouse import (
        DocumentRow,
        FileStat,
        Registration,
        RemoteFile,
        Warehouse,
    )

TICK_SECONDS = 3.0
"""A tick that has registered files for so long stops, and the runs for them start; Dagster gives
up on a tick after 60 s, and commands wait for it."""

FILES_COMPARED = 10_000
FILES_REGISTERED = 100
"""Files compared with the warehouse, and registered, in one transaction."""

FILES_FETCHED = 4
"""Objects of a store fetched and registered together, between two looks at the clock."""

FILES_PER_TICK = 1000
"""Dagster stores an event for each before it launches a run, at about 2 ms apiece."""

ISOLATION = 10
"""After each failed attempt a document shares its run with ten times fewer others, so that one
that kills its run cannot use up the attempts of a hundred."""

RETRY_FIRST_WAIT_S = 30.0
RETRY_LONGEST_WAIT_S = 3600.0
"""A batch whose runs failed twice waits 30 s, then twice as long each time, up to 1 h: what makes
runs fail before they come to a document (a full disk, a missing device) counts for no document."""

NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Cursor:
    """Where a tick that ran out of time stopped, and up to when ended runs were looked at.

    It stopped behind ``after`` in the inbox of that name.
    """

    after: str = ""
    ended_until: float = 0.0
    inbox: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """The cursor of the last tick; a fresh one when there is none that can be read."""
        try:
            return cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Intake:
    """What a look into the inboxes brought: registrations, what is wrong with some of them, and
    where the next look goes on."""

    registered: list["Registration"] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    after: str = ""
    inbox: str = ""


def run_batches(
    rows: Sequence["DocumentRow"], partitions: Sequence[str], documents_per_run: int
) -> Iterator[list[str]]:
    """Documents to run together: never tried ones first, then smaller batches with each attempt.

    Within a batch they stand in the order of ``partitions``.
    """
    place = {name: position for position, name in enumerate(partitions)}
    ordered = sorted(rows, key=lambda row: (row.attempts, place[row.document_id]))
    for attempts, group in groupby(ordered, key=lambda row: row.attempts):
        size = max(1, documents_per_run // ISOLATION**attempts)
        for batch in batches([row.document_id for row in group], size):
            yield list(batch)


def has_attempts_left(
    row: "DocumentRow", interruptions: Mapping[str, int], max_attempts: int
) -> bool:
    """Whether a document may be tried again; runs stopped from outside were no attempts."""
    return row.attempts - interruptions.get(row.document_id, 0) < max_attempts


def wait_after(failures: int) -> float:
    """Seconds from the last of so many failed runs of a batch to the next one."""
    return (
        min(RETRY_FIRST_WAIT_S * 2 ** (failures - 2), RETRY_LONGEST_WAIT_S) if failures > 1 else 0.0
    )


def missing_models(settings: Settings) -> str | None:
    """Which models a run would fail without, and how to get them; None when all are here."""
    from deepcompress_dagster.models import catalog
    from deepcompress_dagster.models.predictor import ModelError
    from deepcompress_dagster.models.weights import store

    if settings.allow_download:
        return None
    try:
        for checkpoint in catalog.needed_checkpoints(settings):
            store.locate(checkpoint, settings.models_dir)
    except ModelError as error:
        return str(error)
    return None


def missing_prerequisite(settings: Settings) -> str | None:
    """What every run would fail of, and how to mend it: models, or a file of passwords."""
    try:
        load_passwords(settings)
    except SettingsError as error:
        return str(error)
    return missing_models(settings)


class Tick:
    """One look at runs, inbox and warehouse."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        warehouse: "Warehouse",
        settings: Settings,
        *,
        backoff: Backoff,
        warn: Callable[[str], object],
        missing_prerequisite: Callable[[Settings], str | None] = missing_prerequisite,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        names: Naming = PLAIN,
    ) -> None:
        self._instance = instance
        self._warehouse = warehouse
        self._settings = settings
        self._backoff = backoff
        self._warn = warn
        self._missing_prerequisite = missing_prerequisite
        self._clock = clock
        self._now = now
        self._names = names
        self._deadline = clock() + TICK_SECONDS

    def result(self, cursor: Cursor) -> dg.SensorResult:
        """What this tick asks of Dagster."""
        self._reap()
        self._warehouse.set_current_versions(stages.code_versions(self._settings))
        unfinished = run_records.unfinished_runs(self._instance, self._names)
        busy = run_records.documents_in(self._instance, unfinished, self._names)
        ended_until = self._report_missing_events(cursor.ended_until, busy)
        room = self._settings.max_queued_runs - len(unfinished)
        unmoved = replace(cursor, ended_until=ended_until)
        if full := disk.blocked_reason(self._settings):
            return _skip(unmoved, full)
        if room <= 0:
            return _skip(unmoved, f"{len(unfinished)} runs are queued or running already")
        intake = self._take_in(cursor)
        self._warehouse.publish()
        pending = [row for row in self._pending() if row.document_id not in busy]
        cancelled = self._cancelled() if pending else frozenset()
        rows = [row for row in pending if row.document_id not in cancelled]
        held = len(pending) - len(rows)
        self._warehouse.clear_superseded(busy)
        partitions = self._instance.get_dynamic_partitions(self._names.partitions)
        partitions = [*partitions, *self._announce(intake.registered, rows, frozenset(partitions))]
        missing = self._missing_prerequisite(self._settings) if rows else None
        groups = run_batches(rows, partitions, self._settings.documents_per_run)
        wanted = () if missing else (self._request(batch, partitions) for batch in groups)
        requests = list(islice(filter(None, wanted), room))
        idle = missing or f"nothing new; {len(busy)} documents are in work{_held_back(held)}"
        idle = "; ".join([*intake.troubles, idle])
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else idle,
            cursor=str(Cursor(intake.after, ended_until, intake.inbox)),
        )

    def _cancelled(self) -> frozenset[str]:
        return run_records.cancelled_documents(self._instance, self._names)

    def _reap(self) -> None:
        for run_id in run_records.reap_dead_runs(
            self._instance, self._settings.data_dir, names=self._names
        ):
            self._warn(f"run {run_id} died without a word; it is reported as failed")

    def _report_missing_events(self, since: float, busy: frozenset[str]) -> float:
        """Report what runs that ended badly after ``since`` committed and did not report.

        Documents that are ``busy`` are left to their present run. Returns until when runs were
        looked at.
        """
        ended = run_records.badly_ended(
            self._instance, datetime.fromtimestamp(since, UTC), self._names
        )
        if not ended:
            return since
        touched = run_records.documents_in(self._instance, ended, self._names) - busy
        report_unreported(self._instance, self._warehouse, touched, names=self._names)
        return max(record.update_timestamp.timestamp() for record in ended)

    def _take_in(self, cursor: Cursor) -> Intake:
        """Register the new files behind the cursor: all, or as many as there is time for."""
        intake = Intake()
        inboxes = {str(inbox): inbox for inbox in self._settings.inbox}
        names = list(inboxes)
        first = names.index(cursor.inbox) if cursor.inbox in inboxes else 0
        for name in names[first:]:
            after = cursor.after if name == cursor.inbox else ""
            try:
                stopped_at = self._look_into(inboxes[name], after, intake.registered)
            except InboxError as error:
                if self._backoff.ready(name):
                    self._backoff.failed(name)
                    self._warn(str(error))
                intake.troubles.append(str(error))
                continue
            self._backoff.succeeded(name)
            if stopped_at:
                intake.after, intake.inbox = stopped_at, name
                break
        return intake

    def _look_into(self, inbox: Inbox, after: str, registered: list["Registration"]) -> str:
        """Register the new files of one inbox behind ``after``. Gives where time ran out."""
        seen: list[FileStat] = []
        found = candidates(inbox, settle_s=self._settings.settle_s, after=after)
        together = FILES_REGISTERED if isinstance(inbox, Path) else FILES_FETCHED
        for batch in _batched(found, FILES_COMPARED):
            seen += [file.stat for file in batch]
            stable = {file.stat.path: file for file in self._not_refused(batch) if file.is_stable}
            unseen = self._warehouse.unseen([file.stat for file in stable.values()])
            fresh = [stable[place] for place in unseen if self._backoff.ready(place)]
            for some in batches(fresh, together):
                registered += self._register([file.file for file in some])
                is_full = len(registered) >= FILES_PER_TICK
                if is_full or self._clock() >= self._deadline:
                    return some[-1].after
        if not after:
            self._warehouse.mark_missing(inbox, seen)
        return ""

    def _not_refused(self, files: Iterable[Candidate]) -> Iterator[Candidate]:
        """Files that may become documents; of the others somebody is told now and then."""
        for file in files:
            if not file.refusal:
                yield file
            elif self._backoff.ready(file.stat.path):
                self._backoff.failed(file.stat.path)
                self._warn(f"{file.stat.path}: {file.refusal}")

    def _register(self, files: Sequence["Path | RemoteFile"]) -> Iterator["Registration"]:
        for found in self._warehouse.register(files):
            if found.error is None:
                self._backoff.succeeded(found.path)
                yield found
            else:
                wait = self._backoff.failed(found.path)
                self._warn(f"{found.path}: {found.error}; next try in {wait:.0f} s")

    def _pending(self) -> list["DocumentRow"]:
        limit = self._settings.max_attempts
        rows = self._warehouse.pending(transient=transient_error_types(), max_attempts=NO_LIMIT)
        if all(row.attempts < limit for row in rows):
            return rows
        interrupted = run_records.interruptions(self._instance, self._names)
        return [row for row in rows if has_attempts_left(row, interrupted, limit)]

    def _announce(
        self,
        registered: Sequence["Registration"],
        rows: Sequence["DocumentRow"],
        known: Collection[str],
    ) -> list[str]:
        """Tell Dagster of what was registered now, or by a tick that died of it: new partitions."""
        paths = {found.document_id: found.path for found in registered if found.document_id}
        wanted = dict.fromkeys([*paths, *(row.document_id for row in rows)])
        new = [document_id for document_id in wanted if document_id not in known]
        told = self._warehouse.documents(list(dict.fromkeys([*paths, *new])))
        announce(self._instance, told, paths, new, self._names)
        return new

    def _request(
        self, document_ids: Sequence[str], partitions: Sequence[str]
    ) -> dg.RunRequest | None:
        """The next run of a batch; None while it has to wait."""
        tags = jobs.run_tags(document_ids, partitions)
        batch = tags[jobs.BATCH_TAG]
        earlier = self._instance.get_run_records(dg.RunsFilter(tags={jobs.BATCH_TAG: batch}))
        failed = [
            run
            for run in earlier
            if run.dagster_run.tags.get(run_records.INTERRUPTED_TAG) != run_records.BY_SIGNAL
        ]
        if failed:
            since = self._now() - failed[0].update_timestamp.timestamp()
            if since < wait_after(len(failed)):
                return None
        return dg.RunRequest(
            run_key=f"{batch}-{len(earlier)}",
            run_config=jobs.run_config(document_ids, skip_unchanged=True, names=self._names),
            tags=tags,
        )


def _held_back(count: int) -> str:
    if not count:
        return ""
    return f"; {count} wait since their run was cancelled: `deepcompress retry` takes them up"


def _skip(cursor: Cursor, reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=str(cursor))


def _batched(items: Iterable[Candidate], size: int) -> Iterator[list[Candidate]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def new_pdfs(
    settings: Settings, job: "UnresolvedAssetJobDefinition", names: Naming = PLAIN
) -> dg.SensorDefinition:
    """The sensor on the inboxes of ``settings``; it runs from the start."""
    backoff = Backoff()
    custody = Custody(settings.data_dir, "sensor")

    @dg.sensor(
        name=names.sensor,
        job=job,
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Registers the documents that arrive in the inboxes, requests runs for them.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from deepcompress_dagster.warehouse import Warehouse

        cursor = Cursor.parse(context.cursor)
        try:
            custody.take()
        except FolderTakenError as error:
            return _skip(cursor, str(error))
        tick = Tick(
            context.instance,
            Warehouse(settings.data_dir),
            settings,
            backoff=backoff,
            warn=context.log.warning,
            names=names,
        )
        return tick.result(cursor)

    return sensor
