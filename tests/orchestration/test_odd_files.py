"""Files as they come: odd names, things that are no files, copies under way, folders that go."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from deepcompress_dagster.orchestration.inbox import Backoff
from deepcompress_dagster.settings import Settings
from tests.orchestration.bench import Bench, FakeParser, inbox_of, write_pdf
from tests.orchestration.test_sensors import Daemon

NAMES = [
    "two words.pdf",
    'it\'s "quoted" `so`.pdf',
    "'; DROP TABLE documents; --.pdf",
    "line\nbreak\tand tab.pdf",
    "\N{GRINNING FACE}\N{BLACK HEART}.pdf",
    "e\u0301\u0323.pdf",
    "\u0634\u0631\u0643\u0629 \u202egpj.pdf",
    "x" * 251 + ".pdf",
    "\N{CJK UNIFIED IDEOGRAPH-6587}" * 83 + ".pdf",
    "a..%2f..%2fetc.pdf",
    "a\\..\\..\\windows.pdf",
    "a....pdf.pdf",
    "-rf *.pdf",
    "$(touch owned).pdf",
    "{curly} ${DATA}.pdf",
    "<b onclick=alert(1)>.pdf",
    "NUL.pdf",
    "a.pdf.pdf",
]


@pytest.fixture
def daemon(bench: Bench, settings: Settings) -> Daemon:
    return Daemon(bench, settings)


def files_under(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_documents_of_any_name_are_taken_up_and_stay_in_their_place(
    daemon: Daemon, settings: Settings, tmp_path: Path
) -> None:
    for number, name in enumerate(NAMES):
        write_pdf(inbox_of(settings) / f"folder {number % 3}" / name, number=number)
    outside = {path for path in files_under(tmp_path) if settings.data_dir not in path.parents}
    requests = daemon.tick()
    assert daemon.execute(requests) == [True] * len(requests)
    rows = daemon.bench.warehouse.documents()
    assert sorted(row.file_name for row in rows) == sorted(NAMES)
    assert {row.status for row in rows} == {"complete"}
    for row in rows:
        folder = daemon.bench.warehouse.image_dir(row.document_id)
        assert folder.resolve().parent == settings.data_dir / "images"
        assert row.document_id.replace("-", "").isprintable()
    now = {path for path in files_under(tmp_path) if settings.data_dir not in path.parents}
    assert now == outside
    assert daemon.tick() == []


def test_what_is_no_file_is_left_alone_and_holds_nobody_up(
    daemon: Daemon, settings: Settings
) -> None:
    inbox = inbox_of(settings)
    os.mkfifo(inbox / "pipe.pdf")
    (inbox / "link to pipe.pdf").symlink_to(inbox / "pipe.pdf")
    (inbox / "folder.pdf").mkdir()
    (inbox / "loop.pdf").symlink_to(inbox / "loop.pdf")
    (inbox / "around").symlink_to(inbox, target_is_directory=True)
    (inbox / "null.pdf").symlink_to(os.devnull)
    write_pdf(inbox / "folder.pdf" / "sound.pdf")
    assert daemon.execute(daemon.tick()) == [True]
    assert [row.file_name for row in daemon.bench.warehouse.documents()] == ["sound.pdf"]
    assert daemon.warnings == []
    (refused,) = daemon.bench.warehouse.register([inbox / "pipe.pdf"])
    assert "no regular file" in (refused.error or "")


@pytest.mark.skipif(sys.platform != "linux", reason="a file whose reading fails, for root as well")
def test_a_file_that_cannot_be_read_is_told_and_taken_up_when_it_can(
    daemon: Daemon, settings: Settings
) -> None:
    path = inbox_of(settings) / "a.pdf"
    path.symlink_to("/proc/self/mem")
    write_pdf(inbox_of(settings) / "b.pdf")
    now = 0.0
    daemon.backoff = Backoff(clock=lambda: now)
    assert daemon.execute(daemon.tick()) == [True]
    (warning,) = daemon.warnings
    assert "a.pdf: cannot read or keep" in warning
    assert "next try in 30 s" in warning
    path.unlink()
    write_pdf(path, now="readable")
    now = 31.0
    assert daemon.execute(daemon.tick()) == [True]
    assert len(daemon.bench.warehouse.documents()) == 2


def test_a_file_that_vanishes_before_it_is_read_comes_back_later(
    daemon: Daemon, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pdf(inbox_of(settings) / "a.pdf")
    aside = inbox_of(settings).parent / "aside.pdf"
    register = daemon.bench.warehouse.register

    def vanish_first(paths: list[Path]) -> object:
        if path.exists():
            path.rename(aside)
        return register(paths)

    monkeypatch.setattr(daemon.bench.warehouse, "register", vanish_first)
    assert daemon.tick() == []
    assert "No such file" in daemon.warnings[0]
    monkeypatch.undo()
    aside.rename(path)
    daemon.backoff = Backoff()
    assert daemon.execute(daemon.tick()) == [True]


def test_an_inbox_that_is_unmounted_for_a_while_costs_nothing(
    daemon: Daemon, settings: Settings
) -> None:
    write_pdf(inbox_of(settings) / "a.pdf", pages=2)
    assert daemon.execute(daemon.tick()) == [True]
    before = daemon.bench.warehouse.documents()
    away = inbox_of(settings).with_name("away")
    inbox_of(settings).rename(away)
    assert daemon.tick() == []
    assert "is missing: create it" in daemon.result.skip_reason.skip_message

    inbox_of(settings).mkdir()  # the empty mount point
    assert daemon.tick() == []
    inbox_of(settings).rmdir()
    away.rename(inbox_of(settings))
    FakeParser.log.clear()
    assert daemon.tick() == []
    assert daemon.bench.warehouse.documents() == before
    assert FakeParser.log == []
    with daemon.bench.warehouse._database.read() as conn:
        assert conn.execute("SELECT present FROM sources").fetchall() == [(True,)]


def test_a_slow_copy_is_waited_for_and_a_temporary_name_is_not_a_document(
    daemon: Daemon, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.settings = settings.model_copy(update={"settle_s": 600.0})
    clock = SimpleNamespace(time=time.time)
    monkeypatch.setattr("deepcompress_dagster.orchestration.inbox.time", clock)
    whole = write_pdf(tmp_path / "whole.pdf", text="word " * 50).read_bytes()
    copy = inbox_of(settings) / "copy.pdf"
    for end in range(10, len(whole), len(whole) // 3):
        copy.write_bytes(whole[:end])
        assert daemon.tick() == []
    copy.write_bytes(whole)
    synced = inbox_of(settings) / ".synced.pdf.Xw3f9a"
    shutil.copy(write_pdf(tmp_path / "other.pdf", other=1), synced)
    assert daemon.tick() == []
    clock.time = lambda: time.time() + 601
    (request,) = daemon.tick()
    daemon.execute([request])
    clock.time = time.time
    synced.rename(inbox_of(settings) / "synced.pdf")
    assert daemon.tick() == []
    clock.time = lambda: time.time() + 601
    daemon.execute(daemon.tick())
    rows = daemon.bench.warehouse.documents()
    assert {row.file_name: row.bytes for row in rows} == {
        "copy.pdf": len(whole),
        "synced.pdf": (tmp_path / "other.pdf").stat().st_size,
    }
