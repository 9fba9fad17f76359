"""The command line as its users call it, in processes of its own."""

import csv
import inspect
import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageColor

from deepcompress_dagster import cli
from deepcompress_dagster.orchestration import run_store
from deepcompress_dagster.overlay import COLOURS
from deepcompress_dagster.records import Label
from deepcompress_dagster.warehouse import Warehouse

pytestmark = pytest.mark.models


class Shell:
    """Runs ``deepcompress`` commands on one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "DEEPCOMPRESS_DATA_DIR": str(folder / "data"),
            "DEEPCOMPRESS_INBOX": str(folder / "inbox"),
        }

    def __call__(
        self, *arguments: object, **settings: object
    ) -> "subprocess.CompletedProcess[str]":
        named = {f"DEEPCOMPRESS_{name.upper()}": str(value) for name, value in settings.items()}
        return subprocess.run(
            [sys.executable, "-m", "deepcompress_dagster.cli", *map(str, arguments)],
            env={**self.environment, **named},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    def rows(self, sql: str) -> list[dict[str, object]]:
        return json.loads(self("query", sql, "--format", "json").stdout)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Shell:
    """A shell after the samples' tables and a broken file were processed."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "broken.pdf").write_text("This is not a PDF.")
    shell = Shell(folder)
    shell.processed = shell("process", samples / "orchard-tables.pdf", folder / "broken.pdf")
    return shell


def test_process_names_what_failed_and_why_and_says_so_by_its_status(shell):
    done = shell.processed
    assert done.returncode == 1
    assert "complete   orchard-tables-" in done.stdout
    assert "failed     broken-" in done.stdout
    assert "(broken.pdf)  broken.pdf is not a PDF: it looks like plain text" in done.stdout


def test_the_terminal_is_not_flooded_with_events(shell):
    assert len((shell.processed.stdout + shell.processed.stderr).splitlines()) < 10


def test_query_answers_in_every_format(shell):
    sql = "SELECT page_number, n_rows, cells FROM tables ORDER BY reading_order LIMIT 2"
    assert "page_number" in shell("query", sql).stdout
    assert shell.rows(sql)[0]["n_rows"] == 5
    written = list(csv.DictReader(io.StringIO(shell("query", sql, "--format", "csv").stdout)))
    assert json.loads(written[0]["cells"])[0]["text"] == "Kind"
    target = shell.folder / "tables.parquet"
    assert shell("query", sql, "--format", "parquet", "--output", target).returncode == 0
    assert target.read_bytes()[:4] == b"PAR1"


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("DELETE FROM text", "read-only"),
        ("SELECT * FROM read_text('/etc/passwd')", "disabled"),
        ("SELECT nothing FROM tables", "nothing"),
    ],
)
def test_query_changes_nothing_and_reads_no_other_files(shell, sql, hint):
    done = shell("query", sql)
    assert done.returncode == 2
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_overlay_draws_the_regions_of_each_page(shell):
    (row,) = shell.rows(
        "SELECT document_id, page_number, x0, y0, x1, y1, pixel_width / width AS scale, image_path "
        "FROM tables JOIN pages USING (document_id, page_number) ORDER BY reading_order LIMIT 1"
    )
    done = shell("overlay", row["document_id"], "--output", shell.folder / "overlays")
    drawn = Image.open(shell.folder / "overlays" / f"{row['document_id']}-00001.png")
    plain = Image.open(shell.folder / "data" / row["image_path"])
    assert done.stdout.count("-00001.png") == 1
    assert drawn.size == plain.size
    x0, y1 = row["x0"] * row["scale"], row["y1"] * row["scale"]
    assert drawn.getpixel((round(x0), round(y1) - 30)) == ImageColor.getrgb(COLOURS[Label.TABLE])


def test_status_tells_states_failures_and_what_is_running(shell):
    said = shell("status").stdout
    assert "1 complete" in said
    assert "1 failed" in said
    assert "0 queued or running" in said
    assert "broken-" in said


def test_retry_runs_only_what_failed(shell):
    before = shell.rows("SELECT document_id, run_id FROM asset_state ORDER BY ALL")
    done = shell("retry")
    assert done.returncode == 1
    assert "broken-" in done.stdout
    assert "orchard-tables" not in done.stdout
    assert shell.rows("SELECT document_id, run_id FROM asset_state ORDER BY ALL") == before


def test_processing_again_what_is_unchanged_computes_nothing(shell, samples):
    before = shell.rows("SELECT asset, run_id FROM asset_state ORDER BY ALL")
    done = shell("process", samples / "orchard-tables.pdf")
    assert done.returncode == 0
    assert "up to date, nothing was computed; --force" in done.stdout
    assert shell.rows("SELECT asset, run_id FROM asset_state ORDER BY ALL") == before


def test_chosen_pages_only_are_parsed(tmp_path, samples):
    shell = Shell(tmp_path)
    done = shell("process", samples / "weather-notes.pdf", "--pages", "2-3", "--assets", "pages")
    assert done.returncode == 0
    assert [row["page_number"] for row in shell.rows("SELECT page_number FROM pages")] == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("process", "nowhere.pdf"), "no such file"),
        (("process", ".", "--assets", "texts"), "choose from pages, layouts"),
        (("process", "broken.pdf", "--pages", "5-1"), "1-5,8"),
        (("retry", "nobody"), "no such document: nobody"),
        (("models", "pull", "gpt"), "not in the catalog"),
    ],
)
def test_a_bad_call_is_one_line_that_says_what_to_do(shell, arguments, hint):
    done = shell(*arguments)
    assert done.returncode == 2
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_out_of_range_is_refused_with_the_range(shell):
    done = shell("status", dpi=9)
    assert done.returncode == 2
    assert "DEEPCOMPRESS_DPI" in done.stderr
    assert "72 to 600" in done.stderr


def test_missing_weights_are_named_with_the_command_that_gets_them(shell, samples):
    done = shell("process", samples / "mill-report.pdf", models_dir=shell.folder / "none")
    assert done.returncode != 0
    assert "deepcompress models pull" in done.stdout + done.stderr


def test_a_query_without_a_warehouse_is_an_error_and_creates_nothing(tmp_path):
    shell = Shell(tmp_path)
    done = shell("query", "SELECT count(*) FROM documents")
    assert done.returncode == 2
    said = done.stderr
    assert "no warehouse" in said
    assert "DEEPCOMPRESS_DATA_DIR" in said
    assert list(tmp_path.iterdir()) == []


def test_the_ui_listens_on_this_machine_only_unless_told_otherwise():
    assert inspect.signature(cli.up).parameters["host"].default == "127.0.0.1"


@pytest.mark.parametrize(
    "sql",
    ["FROM read_csv('broken.pdf')", "COPY documents TO 'out.csv'", "ATTACH 'x.db'", "INSTALL fts"],
)
def test_a_query_reads_the_tables_and_nothing_else(shell, sql):
    before = sorted(shell.folder.iterdir())
    done = shell("query", sql)
    assert done.returncode == 2
    assert sorted(shell.folder.iterdir()) == before
    assert "Traceback" not in done.stderr


def test_the_doctor_says_what_is_amiss_and_what_to_do_by_its_status_too(tmp_path):
    shell = Shell(tmp_path)
    done = shell("doctor")
    assert done.returncode == 1
    assert "!!  inbox:" in done.stdout
    assert "DEEPCOMPRESS_INBOX" in done.stdout
    (tmp_path / "inbox").mkdir()
    done = shell("doctor")
    assert done.returncode == 0, done.stdout
    assert "ok  model ppocrv6: present" in done.stdout
    assert not (tmp_path / "data").exists()


def test_models_list_tells_licences_and_presence(shell):
    said = shell("models", "list").stdout
    assert "* text        ppocrv6" in said
    assert "weights AGPL-3.0" in said
    assert "missing" in said


def test_a_document_is_forgotten_after_a_yes_and_its_file_is_named(tmp_path):
    shell = Shell(tmp_path)
    broken = tmp_path / "broken.pdf"
    broken.write_text("This is not a PDF.")
    shell("process", broken)
    (row,) = shell.rows("SELECT document_id FROM documents")
    name = row["document_id"]
    assert shell("forget", "nobody-1", "--yes").returncode == 2
    assert "broken.pdf" in shell("forget", name).stdout
    assert shell.rows("SELECT document_id FROM documents") == [row]
    done = shell("forget", name, "--yes")
    assert f"{broken} lies where it was and is not taken up again" in done.stdout
    assert shell.rows("SELECT document_id FROM documents") == []
    assert "was forgotten on" in " ".join(shell("process", tmp_path).stderr.split())


HEAVY = {
    "dagster",
    "duckdb",
    "numpy",
    "onnxruntime",
    "polars",
    "pyarrow",
    "pydantic",
    "rich",
    "torch",
}
LOADED = """
import sys
from deepcompress_dagster import cli
try:
    cli.main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("--help",), {"rich"}),
        (("query", "SELECT 1"), {"duckdb", "pydantic"}),
        (("status",), {"duckdb", "pydantic"}),
    ],
)
def test_a_command_loads_only_what_it_needs(tmp_path, arguments, allowed):
    Warehouse(tmp_path / "data").publish(force=True)
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        env={**os.environ, "DEEPCOMPRESS_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stderr.split()) & HEAVY <= allowed


def test_status_asks_dagster_where_a_run_is_not_over_or_was_cancelled(tmp_path):
    home = tmp_path / "dagster" / "history"
    assert not run_store.may_tell_of_runs(tmp_path)
    home.mkdir(parents=True)
    assert run_store.may_tell_of_runs(tmp_path), "no storage where it should be"
    with sqlite3.connect(home / "runs.db") as conn:
        conn.execute("CREATE TABLE runs (status TEXT)")
        for status, asks in (("SUCCESS", False), ("FAILURE", False), ("CANCELED", True)):
            conn.execute("INSERT INTO runs VALUES (?)", [status])
            conn.commit()
            assert run_store.may_tell_of_runs(tmp_path) is asks
        conn.execute("UPDATE runs SET status = 'QUEUED' WHERE status = 'CANCELED'")
    conn.close()
    assert run_store.may_tell_of_runs(tmp_path)


def test_the_example_runs(samples):
    example = Path(__file__).parents[1] / "examples" / "parse_pdf.py"
    done = subprocess.run(
        [sys.executable, str(example), str(samples / "orchard-tables.pdf")],
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    assert "| Early red | 1,240 | 980 | 1,410 |" in done.stdout
    assert done.stdout.count("page 1: 5 x") == 3


def test_a_folder_means_the_pdfs_that_an_inbox_would_take(tmp_path, monkeypatch):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    for path in (folder / "b" / "2.PDF", folder / "a.pdf", outside / "c.pdf"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF-")
    for name in (".hidden.pdf", "notes.txt", "d.pdf.part"):
        (folder / name).write_bytes(b"")
    (folder / "link").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    for told in ("folder", str(folder)):
        assert [path.name for path in cli._files([told])[0]] == ["a.pdf", "2.PDF", "c.pdf"]


def test_threads_share_one_heap_here_and_in_children_unless_the_user_says_otherwise():
    code = (
        "import os, sys; from deepcompress_dagster.cli import main; sys.argv = ['deepcompress']\n"
        "try: main()\nexcept SystemExit: pass\nprint(os.environ['MALLOC_ARENA_MAX'])"
    )
    for given, expected in (({}, "1"), ({"MALLOC_ARENA_MAX": "4"}, "4")):
        plain = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**plain, **given}, capture_output=True, text=True
        )
        assert done.stdout.splitlines()[-1] == expected
