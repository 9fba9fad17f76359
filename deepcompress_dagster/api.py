"""Use as a library: one PDF in, its rows as data frames and its markdown out, without Dagster.

Not here: the parsing (pipeline/) and the tables (warehouse/); this puts the two together.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.records import (
    DocumentResult,
    DocumentTask,
)
from deepcompress_dagster.settings import Settings, load_settings

if TYPE_CHECKING:
    import polars as pl

    from deepcompress_dagster.warehouse import Warehouse

_RUN_ID = "library"


class ParseError(RuntimeError):
    """The file could not be parsed; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class ParsedDocument:
    """A parsed PDF: one data frame per table of the warehouse, columns as described there.

    Frames of assets that were not asked for are empty. ``errors`` lists what failed on which page.
    """

    document_id: str
    page_count: int
    markdown: str
    pages: "pl.DataFrame"
    layouts: "pl.DataFrame"
    text: "pl.DataFrame"
    tables: "pl.DataFrame"
    figures: "pl.DataFrame"
    errors: "pl.DataFrame"


def parse(
    path: str | Path,
    *,
    pages: Sequence[int] | None = None,
    password: str | None = None,
    data_dir: Path | None = None,
    settings: Settings | None = None,
) -> ParsedDocument:
    """Parse one PDF in this process and return its rows.

    ``pages`` are page numbers from 1, None means all. ``password`` opens an encrypted PDF; without
    one, those of the settings are tried. Page images and figure crops are kept only
    with a ``data_dir``, below which the ``image_path`` columns point. Models stay loaded for the
    next call.

    Raises ParseError for a file that cannot be parsed, MissingModelError with the command that
    gets the weights, SettingsError for bad settings.
    """
    chosen = settings or load_settings()
    with _workplace(data_dir) as warehouse:
        registered = warehouse.register([Path(path)])[0]
        if registered.document_id is None:
            raise ParseError(f"{path}: {registered.error}")
        document_id = registered.document_id
        task = DocumentTask(
            document_id,
            warehouse.kept_pdf(document_id),
            warehouse.image_dir(document_id),
            tuple(pages) if pages is not None else None,
            passwords=_passwords(password, Path(path), chosen),
            file_name=Path(path).name,
        )
        page_count = _run(task, warehouse, chosen)
        warehouse.publish(force=True)
        return _collected(warehouse, document_id, page_count)


@contextmanager
def _workplace(data_dir: Path | None) -> Iterator["Warehouse"]:
    from deepcompress_dagster.warehouse import Warehouse

    if data_dir is not None:
        yield Warehouse(data_dir)
        return
    with tempfile.TemporaryDirectory(prefix="deepcompress-") as scratch:
        yield Warehouse(Path(scratch))


def _passwords(given: str | None, path: Path, settings: Settings) -> tuple[str, ...]:
    from deepcompress_dagster.passwords import load_passwords

    return load_passwords(settings).for_name(path.name) if given is None else (given,)


def _run(task: DocumentTask, warehouse: "Warehouse", settings: Settings) -> int:
    """Parse and commit; returns the number of pages of the PDF."""
    from deepcompress_dagster.pipeline.commit import Committer
    from deepcompress_dagster.pipeline.parse import Parser
    from deepcompress_dagster.pipeline.stages import code_versions

    committer = Committer(warehouse, _RUN_ID, code_versions(settings), publishes=False)
    buffers = warehouse.image_dir(task.document_id).parent / ".buffers"
    with Parser(settings, buffer_dir=buffers) as parser, closing(parser.parse([task])) as stream:
        for event in stream:
            finished = committer.take(event)
            if isinstance(event, DocumentResult):
                if event.fatal is not None:
                    raise ParseError(event.fatal.message)
                for document in finished or committer.flush():
                    if document.refusal is not None:
                        raise document.refusal
                return event.page_count
    raise ParseError(f"{task.path}: the parser ended without a result")


def _collected(warehouse: "Warehouse", document_id: str, page_count: int) -> ParsedDocument:
    frames = {table: _frame(warehouse, table, document_id) for table in (*ASSETS, "errors")}
    markdown = _frame(warehouse, "document_markdown", document_id)["markdown"]
    text = str(markdown[0]) if len(markdown) else ""
    return ParsedDocument(document_id, page_count, text, **frames)


def _frame(warehouse: "Warehouse", table: str, document_id: str) -> "pl.DataFrame":
    import polars as pl

    # Only names of tables and views of the warehouse come here.
    sql = f"SELECT * FROM {table} WHERE document_id = ? ORDER BY ALL"  # noqa: S608
    frame = pl.from_arrow(warehouse.query(sql, [document_id]))
    assert isinstance(frame, pl.DataFrame)
    return frame
