"""Calls that share one stream, with stand-in models and real workers."""

import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.tiny import TinyModels
from deepcompress_dagster.pipeline.parse import Parser
from deepcompress_dagster.pipeline.shared_parse import SharedParser
from deepcompress_dagster.records import DocumentTask, PageResult
from deepcompress_dagster.settings import Settings, load_settings
from deepcompress_dagster.streaming import StreamCancelled
from tests.builders import numbered_pdf


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data", device="cpu", render_workers=1)


def task(folder: Path, name: str, pages: int) -> DocumentTask:
    path = numbered_pdf(folder / f"{name}.pdf", pages)
    return DocumentTask(name, path, folder / "data" / "images" / name)


def test_two_calls_get_their_own_rows_as_they_would_alone(
    settings: Settings, tmp_path: Path
) -> None:
    tasks = [task(tmp_path, "one", 3), task(tmp_path, "two", 3)]
    found: dict[int, list[object]] = {}

    def take(number: int) -> None:
        with closing(shared.begin([tasks[number]], ["pages", "layouts"]).events()) as events:
            found[number] = list(events)

    shared = SharedParser(settings, buffer_dir=tmp_path / "pixels", models=TinyModels())
    with closing(shared):
        threads = [threading.Thread(target=take, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shared.calls == 0
    for number, one in enumerate(tasks):
        with Parser(settings, buffer_dir=tmp_path / "pixels", models=TinyModels()) as parser:
            alone = list(parser.parse([one], ["pages", "layouts"]))
        assert rows(found[number]) == rows(alone)


def rows(events: list[object]) -> list[str]:
    return sorted(repr(without_times(event)) for event in events)


def without_times(event: object) -> object:
    return (event.page, event.layouts) if isinstance(event, PageResult) else event


def test_a_call_with_few_pages_does_not_wait_for_one_with_many(
    settings: Settings, tmp_path: Path
) -> None:
    shared = SharedParser(settings, buffer_dir=tmp_path / "pixels", models=TinyModels())
    with closing(shared):
        long = shared.begin([task(tmp_path, "long", 300)], ["pages"])
        first = long.events()
        next(first)
        with closing(shared.begin([task(tmp_path, "short", 1)], ["pages"]).events()) as short:
            assert len(list(short)) == 3
        assert long._pages_left > 100, "the long one is far from its end"
        first.close()


def test_a_call_that_is_cancelled_leaves_the_others_alone(
    settings: Settings, tmp_path: Path
) -> None:
    shared = SharedParser(settings, buffer_dir=tmp_path / "pixels", models=TinyModels())
    with closing(shared):
        other = shared.begin([task(tmp_path, "other", 20)], ["pages"])
        doomed = shared.begin([task(tmp_path, "doomed", 300)], ["pages"]).events()
        next(doomed)
        doomed.close()
        with closing(other.events()) as events:
            counts = Counter(type(event).__name__ for event in events)
        assert counts["PageResult"] == 20
        assert not shared.has_ended


def test_the_last_call_that_is_cancelled_ends_the_work(settings: Settings, tmp_path: Path) -> None:
    shared = SharedParser(settings, buffer_dir=tmp_path / "pixels", models=TinyModels())
    with closing(shared):
        events = shared.begin([task(tmp_path, "doomed", 300)], ["pages"]).events()
        next(events)
        events.close()
        assert shared.has_ended
        with pytest.raises(StreamCancelled):
            shared.begin([task(tmp_path, "late", 1)], ["pages"])
    assert shared.context.pdfs.pids == ()
    assert shared.context.pdfs.buffers_in_use == 0


def test_what_fails_in_one_call_is_raised_there_alone(settings: Settings, tmp_path: Path) -> None:
    def broken(document: str, page: int) -> tuple[()]:
        raise OSError("no regions today")

    shared = SharedParser(settings, buffer_dir=tmp_path / "pixels", models=TinyModels())
    with closing(shared):
        good = shared.begin([task(tmp_path, "good", 5)], ["pages"])
        bad = shared.begin([task(tmp_path, "bad", 2)], ["text"], broken)
        with closing(bad.events()) as events, pytest.raises(OSError, match="no regions today"):
            list(events)
        with closing(good.events()) as events:
            assert sum(isinstance(event, PageResult) for event in events) == 5
