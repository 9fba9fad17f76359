import os
from pathlib import Path

import pytest

from deepcompress_dagster.orchestration.inbox import Backoff, files, is_stable


def names(folder: Path, after: str = "") -> list[str]:
    found = files(folder, settle_s=0, after=after)
    return [candidate.after for candidate in found]


def test_folders_are_read_to_the_bottom_in_the_order_of_their_parts(tmp_path: Path) -> None:
    for name in ("b.pdf", "a/z.pdf", "a/b/c.pdf", "a.pdf", ".git/x.pdf", "c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == ["a/b/c.pdf", "a/z.pdf", "a.pdf", "b.pdf"]


@pytest.mark.parametrize("stop", range(5))
def test_a_walk_goes_on_behind_the_file_where_it_stopped(tmp_path: Path, stop: int) -> None:
    for name in ("a/b/c.pdf", "a/z.pdf", "a.pdf", "b/q.pdf", "c.pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    every = names(tmp_path)
    assert names(tmp_path, every[stop]) == every[stop + 1 :]


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    inbox, other = tmp_path / "inbox", tmp_path / "other"
    inbox.mkdir()
    other.mkdir()
    (other / "linked.pdf").touch()
    (inbox / "own.pdf").touch()
    (inbox / "loop").symlink_to(inbox, target_is_directory=True)
    (inbox / "other").symlink_to(other, target_is_directory=True)
    (inbox / "file.pdf").symlink_to(other / "linked.pdf")
    (inbox / "broken.pdf").symlink_to(other / "missing.pdf")
    assert names(inbox) == ["file.pdf", "other/linked.pdf", "own.pdf"]


def test_an_unreadable_folder_is_not_in_the_way_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.pdf").touch()
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError("closed")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(tmp_path) == ["open.pdf"]


def stat_of(tmp_path: Path, mtime: float) -> os.stat_result:
    path = tmp_path / "a.pdf"
    path.touch()
    os.utime(path, (mtime, mtime))
    return path.stat()


def test_a_file_settles_when_nothing_about_it_changed_for_a_while(tmp_path: Path) -> None:
    stat = stat_of(tmp_path, 1000.0)
    assert not is_stable(stat, 2.0, now=stat.st_ctime + 1)
    assert is_stable(stat, 2.0, now=stat.st_ctime + 3)


def test_an_old_file_that_was_just_moved_in_waits_like_a_new_one(tmp_path: Path) -> None:
    stat = stat_of(tmp_path, 1.0)
    assert not is_stable(stat, 60.0, now=stat.st_ctime + 1)


def test_a_time_stamp_from_the_far_future_is_not_waited_for(tmp_path: Path) -> None:
    stat = stat_of(tmp_path, 4e9)
    assert is_stable(stat, 2.0, now=stat.st_ctime + 3)


def test_an_unreadable_file_is_put_off_for_longer_each_time() -> None:
    now = 0.0
    backoff = Backoff(clock=lambda: now)
    path = Path("a.pdf")
    assert backoff.ready(path)
    waits = []
    for _ in range(9):
        waits.append(backoff.failed(path))
        assert not backoff.ready(path)
        now += waits[-1]
        assert backoff.ready(path)
    assert waits[:3] == [30.0, 60.0, 120.0]
    assert waits[-1] == 3600.0
    backoff.succeeded(path)
    assert backoff.failed(path) == 30.0
