import hashlib
import os
import threading
from pathlib import Path

import duckdb
import pytest

from deepcompress_dagster.records import DocumentStatus
from deepcompress_dagster.warehouse import (
    FileStat,
    UnknownDocumentError,
    Warehouse,
    WarehouseError,
    pdf_store,
)
from deepcompress_dagster.warehouse.registration import slug
from tests.builders import (
    page_of,
)
from tests.warehouse.helpers import (
    commit,
    register,
    rows,
    write_pdf,
)


def _current(warehouse: Warehouse) -> dict[str, str | None]:
    return {row.document_id: row.superseded_by for row in warehouse.documents() if row.is_current}


def test_a_document_is_named_by_its_slug_and_the_head_of_its_hash(
    warehouse: Warehouse, inbox: Path
) -> None:
    path = write_pdf(inbox, "Annual Report (2025).pdf")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (answer,) = warehouse.register([path])
    assert answer.document_id == f"annual-report-2025-{digest[:12]}"
    assert answer.is_new
    (row,) = warehouse.documents()
    assert (row.sha256, row.file_name, row.bytes) == (digest, path.name, path.stat().st_size)
    assert (row.status, row.is_current, row.attempts) == (DocumentStatus.REGISTERED, True, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Übersicht – Größe.pdf", "übersicht-größe"),
        ("年度报告 2024.pdf", "年度报告-2024"),
        ("हिन्दी.pdf", "हिन्दी"),
        ("U\u0308ber.pdf", "über"),
        ("...pdf", "document"),
        ("a" * 60 + ".pdf", "a" * 40),
        ("a" * 39 + " b.pdf", "a" * 39),
        ("../../etc/passwd.pdf", "passwd"),
    ],
)
def test_slugs_keep_letters_of_every_script_and_nothing_that_paths_mind(
    name: str, expected: str
) -> None:
    assert slug(name) == expected


def test_an_id_that_is_taken_gets_sixteen_digits(warehouse: Warehouse, inbox: Path) -> None:
    path = write_pdf(inbox, "a.pdf")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    other = register(warehouse, inbox, "b.pdf")
    with duckdb.connect(warehouse.data_dir / "warehouse.duckdb") as conn:
        conn.execute(
            "UPDATE documents SET document_id = ? WHERE document_id = ?",
            [f"a-{digest[:12]}", other],
        )
    (answer,) = warehouse.register([path])
    assert answer.document_id == f"a-{digest[:16]}"


def test_the_same_bytes_at_two_paths_are_one_document_with_two_sources(
    warehouse: Warehouse, inbox: Path
) -> None:
    first = write_pdf(inbox, "a.pdf", "same")
    second = write_pdf(inbox, "sub/b.pdf", "same")
    answers = warehouse.register([first, second])
    assert [answer.is_new for answer in answers] == [True, False]
    assert len({answer.document_id for answer in answers}) == 1
    assert len(warehouse.documents()) == 1
    assert rows(warehouse, "SELECT path FROM sources ORDER BY path") == [
        (str(first),),
        (str(second),),
    ]


def test_changed_bytes_at_a_path_supersede_and_coming_back_restores(
    warehouse: Warehouse, inbox: Path
) -> None:
    first = register(warehouse, inbox, "a.pdf", "one")
    commit(warehouse, first, [page_of(first, 1)])
    second = register(warehouse, inbox, "a.pdf", "two")
    assert first != second
    by_id = {row.document_id: row for row in warehouse.documents()}
    assert not by_id[first].is_current
    assert by_id[first].superseded_by == second
    assert by_id[second].is_current

    assert register(warehouse, inbox, "a.pdf", "one") == first
    by_id = {row.document_id: row for row in warehouse.documents()}
    assert by_id[first].is_current
    assert by_id[first].superseded_by is None
    assert by_id[first].status is DocumentStatus.COMPLETE
    assert by_id[second].superseded_by == first


def test_a_document_stays_current_while_another_present_path_leads_to_it(
    warehouse: Warehouse, inbox: Path
) -> None:
    first = register(warehouse, inbox, "a.pdf", "one")
    register(warehouse, inbox, "b.pdf", "one")
    second = register(warehouse, inbox, "a.pdf", "two")
    assert set(_current(warehouse)) == {first, second}
    assert register(warehouse, inbox, "b.pdf", "two") == second
    assert set(_current(warehouse)) == {second}


def test_a_path_that_is_gone_does_not_keep_a_document_current(
    warehouse: Warehouse, inbox: Path
) -> None:
    register(warehouse, inbox, "a.pdf", "one")
    register(warehouse, inbox, "b.pdf", "one")
    (inbox / "b.pdf").unlink()
    warehouse.mark_missing(inbox, [FileStat.of(inbox / "a.pdf")])
    second = register(warehouse, inbox, "a.pdf", "two")
    assert set(_current(warehouse)) == {second}


def test_two_files_that_swap_places_in_one_call_both_stay_current(
    warehouse: Warehouse, inbox: Path
) -> None:
    a, b = register(warehouse, inbox, "a.pdf", "one"), register(warehouse, inbox, "b.pdf", "two")
    (inbox / "a.pdf").rename(inbox / "c.pdf")
    (inbox / "b.pdf").rename(inbox / "a.pdf")
    (inbox / "c.pdf").rename(inbox / "b.pdf")
    answers = warehouse.register([inbox / "a.pdf", inbox / "b.pdf"])
    assert [answer.document_id for answer in answers] == [b, a]
    assert set(_current(warehouse)) == {a, b}


def test_bad_files_are_told_and_stop_nothing(warehouse: Warehouse, inbox: Path) -> None:
    good = write_pdf(inbox, "good.pdf")
    folder = inbox / "folder.pdf"
    folder.mkdir()
    pipe = inbox / "pipe.pdf"
    os.mkfifo(pipe)
    gone = inbox / "gone.pdf"
    loop = inbox / "loop.pdf"
    loop.symlink_to(loop)
    answers = warehouse.register([gone, folder, pipe, loop, good])
    assert [answer.document_id is None for answer in answers] == [True, True, True, True, False]
    for answer in answers[:4]:
        assert str(answer.path) in str(answer.error)
    assert len(warehouse.documents()) == 1


def test_the_kept_bytes_are_the_registered_bytes(warehouse: Warehouse, inbox: Path) -> None:
    path = write_pdf(inbox, "a.pdf")
    content = path.read_bytes()
    document_id = register(warehouse, inbox, "a.pdf")
    path.unlink()
    digest = hashlib.sha256(content).hexdigest()
    kept = warehouse.kept_pdf(document_id)
    assert kept == warehouse.data_dir / "pdfs" / digest[:2] / f"{digest}.pdf"
    assert kept.read_bytes() == content


def test_a_file_that_changes_while_it_is_read_is_not_registered(
    warehouse: Warehouse, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pdf(inbox, "a.pdf")
    calm = write_pdf(inbox, "calm.pdf")
    fill = pdf_store._fill

    def fill_and_disturb(source: int, copy: int) -> tuple[str, int]:
        filled = fill(source, copy)
        if os.fstat(source).st_ino == path.stat().st_ino:
            with path.open("ab") as file:
                file.write(b"more")
        return filled

    monkeypatch.setattr(pdf_store, "_fill", fill_and_disturb)
    disturbed, other = warehouse.register([path, calm])
    assert disturbed.document_id is None
    assert "changed while it was read" in str(disturbed.error)
    assert other.document_id is not None
    assert len(list((warehouse.data_dir / "pdfs").glob("*/*.pdf"))) == 1


def test_a_lost_kept_pdf_is_named_and_comes_back_with_its_file(
    warehouse: Warehouse, inbox: Path
) -> None:
    document_id = register(warehouse, inbox, "a.pdf")
    warehouse.kept_pdf(document_id).unlink()
    with pytest.raises(WarehouseError, match=r"a\.pdf .* is lost: .*register the file again"):
        warehouse.kept_pdf(document_id)
    warehouse.register([inbox / "a.pdf"])
    assert warehouse.kept_pdf(document_id).exists()


def test_a_kept_pdf_cut_short_is_replaced(warehouse: Warehouse, inbox: Path) -> None:
    document_id = register(warehouse, inbox, "a.pdf")
    kept = warehouse.kept_pdf(document_id)
    content = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(content[:5])
    warehouse.register([inbox / "a.pdf"])
    assert warehouse.kept_pdf(document_id).read_bytes() == content


def test_an_unknown_id_has_no_kept_pdf(warehouse: Warehouse) -> None:
    with pytest.raises(UnknownDocumentError, match="nobody"):
        warehouse.kept_pdf("nobody")


def test_what_a_killed_registration_left_is_removed(warehouse: Warehouse, inbox: Path) -> None:
    register(warehouse, inbox, "a.pdf")
    leftover = warehouse.data_dir / "pdfs" / ".incoming" / "half"
    leftover.write_bytes(b"half a pdf")
    register(warehouse, inbox, "b.pdf")
    assert not leftover.exists()


def test_only_new_changed_and_returned_files_are_unseen(warehouse: Warehouse, inbox: Path) -> None:
    same, changed, returned = (write_pdf(inbox, f"{name}.pdf") for name in "abc")
    warehouse.register([same, changed, returned])
    assert warehouse.mark_missing(inbox, [FileStat.of(same), FileStat.of(changed)]) == 1
    write_pdf(inbox, "b.pdf", "other bytes")
    new = write_pdf(inbox, "d.pdf")
    files = [FileStat.of(path) for path in (same, changed, returned, new)]
    assert warehouse.unseen(files) == [changed, returned, new]
    warehouse.register([changed, returned, new])
    assert warehouse.unseen([FileStat.of(file.path) for file in files]) == []


def test_a_file_moved_in_with_an_old_time_is_unseen(warehouse: Warehouse, inbox: Path) -> None:
    register(warehouse, inbox, "a.pdf")
    path = write_pdf(inbox, "old/b.pdf")
    os.utime(path, (1e9, 1e9))
    assert warehouse.unseen([FileStat.of(path)]) == [path]


def test_missing_concerns_only_the_folder_asked_for(
    warehouse: Warehouse, inbox: Path, tmp_path: Path
) -> None:
    register(warehouse, inbox, "a.pdf")
    register(warehouse, tmp_path / "inbox2", "b.pdf")
    assert warehouse.mark_missing(inbox, []) == 1
    assert warehouse.mark_missing(inbox, []) == 0
    assert rows(warehouse, "SELECT parse_filename(path) FROM sources WHERE present") == [("b.pdf",)]


def test_a_known_file_is_not_read_again(
    warehouse: Warehouse, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document_id = register(warehouse, inbox, "a.pdf")
    monkeypatch.setattr(pdf_store.PdfStore, "take", lambda *_: pytest.fail("read again"))
    before = (warehouse.data_dir / "warehouse.duckdb").stat().st_mtime_ns
    (answer,) = warehouse.register([inbox / "a.pdf"])
    assert (answer.document_id, answer.is_new) == (document_id, False)
    assert (warehouse.data_dir / "warehouse.duckdb").stat().st_mtime_ns == before


def test_one_path_given_twice_gets_one_document(warehouse: Warehouse, inbox: Path) -> None:
    path = write_pdf(inbox, "a.pdf")
    answers = warehouse.register([path, path])
    assert answers[0] == answers[1]
    assert len(warehouse.documents()) == 1


def test_a_name_that_is_not_utf8_is_registered_like_any_other(
    warehouse: Warehouse, inbox: Path
) -> None:
    path = Path(os.fsdecode(os.fsencode(inbox) + b"/caf\xe9.pdf"))
    path.write_bytes(b"%PDF latin")
    (answer,) = warehouse.register([path])
    assert answer.error is None
    assert warehouse.unseen([FileStat.of(path)]) == []
    assert warehouse.documents()[0].file_name == "caf\\xe9.pdf"


def test_registering_from_many_threads_makes_each_document_once(
    warehouse: Warehouse, inbox: Path
) -> None:
    paths = [write_pdf(inbox, f"{n}.pdf", str(n % 10)) for n in range(30)]
    threads = [threading.Thread(target=warehouse.register, args=(paths,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(warehouse.documents()) == 10
    assert rows(warehouse, "SELECT count(*) FROM sources") == [(30,)]


def test_five_hundred_files_register_in_one_transaction(warehouse: Warehouse, inbox: Path) -> None:
    paths = [write_pdf(inbox, f"report {n}.pdf") for n in range(500)]
    answers = warehouse.register(paths)
    assert all(answer.is_new for answer in answers)
    assert [answer.path for answer in answers] == paths
    assert rows(warehouse, "SELECT count(DISTINCT first_seen_at) FROM documents") == [(1,)]
