"""Inboxes in object stores: what is fetched, what is new, and what is said when one is away."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepcompress_dagster import cli, object_store
from deepcompress_dagster.orchestration import doctor, inbox
from deepcompress_dagster.settings import Settings
from tests.orchestration.bench import Bench, write_pdf
from tests.orchestration.test_sensors import Daemon, documents_of
from tests.s3_server import S3Server


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """A bucket of the test's own, which is gone afterwards."""
    name = f"bucket-{abs(hash(request.node.name))}"
    s3.client.create_bucket(Bucket=name)
    yield name
    for entry in s3.client.list_objects_v2(Bucket=name).get("Contents", ()):
        s3.client.delete_object(Bucket=name, Key=entry["Key"])
    s3.client.delete_bucket(Bucket=name)


@pytest.fixture
def daemon(bench: Bench, settings: Settings, bucket: str) -> Daemon:
    """One that watches a folder and a prefix of the bucket."""
    places = (*settings.inbox, f"s3://{bucket}/in")
    return Daemon(bench, settings.model_copy(update={"inbox": places}))


def pdf(folder: Path, **spec: object) -> bytes:
    return write_pdf(folder / "made.pdf", **spec).read_bytes()


def states(bench: Bench) -> dict[str, bool]:
    rows = bench.warehouse.documents()
    return {row.file_name: row.is_current for row in rows}


def test_objects_become_documents_beside_the_files_of_a_folder(
    daemon: Daemon, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    write_pdf(daemon.bench.inbox / "local.pdf", n=0)
    s3.put(
        bucket,
        **{
            "in/a b/report ü.pdf": pdf(tmp_path, n=1),
            "in/notes.txt": b"no",
            "in/.trash/old.pdf": b"no",
            "other/x.pdf": b"no",
        },
    )
    assert documents_of(daemon.tick()) == [["local", "report-ü"]]
    (row,) = [r for r in daemon.bench.warehouse.documents() if r.file_name == "report ü.pdf"]
    assert daemon.bench.warehouse.kept_pdf(row.document_id).read_bytes() == pdf(tmp_path, n=1)
    found = daemon.bench.warehouse.sources([row.document_id])
    assert found == [f"s3://{bucket}/in/a b/report ü.pdf"]


def test_an_object_is_fetched_once_and_again_when_its_etag_is_another(
    daemon: Daemon, s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    fetch = object_store.Bucket.fetch
    monkeypatch.setattr(
        object_store.Bucket,
        "fetch",
        lambda self, path, target: (fetched.append(path), fetch(self, path, target))[1],
    )
    s3.put(bucket, **{"in/a.pdf": pdf(tmp_path, n=1)})
    daemon.tick()
    s3.put(bucket, **{"in/a.pdf": pdf(tmp_path, n=1)})  # the same bytes, written later
    daemon.tick()
    assert fetched == ["a.pdf"]

    s3.put(bucket, **{"in/a.pdf": pdf(tmp_path, n=2)})
    daemon.tick()
    assert fetched == ["a.pdf", "a.pdf"]
    rows = daemon.bench.warehouse.documents()
    assert sorted(row.is_current for row in rows) == [False, True]

    s3.client.delete_object(Bucket=bucket, Key="in/a.pdf")
    daemon.tick()
    sql = "SELECT present FROM sources"
    daemon.bench.warehouse.publish(force=True)
    assert daemon.bench.warehouse.query(sql).to_pylist() == [{"present": False}]


def test_a_tick_that_runs_out_of_time_goes_on_in_the_bucket_where_it_stopped(
    daemon: Daemon, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    s3.put(bucket, **{f"in/{n}.pdf": pdf(tmp_path, n=n) for n in range(6)})
    clock = iter(range(0, 10_000, 1_000))
    daemon.tick(clock=lambda: float(next(clock)))
    assert (daemon.cursor.inbox, daemon.cursor.after) == (f"s3://{bucket}/in", "3.pdf")
    assert len(states(daemon.bench)) == 4
    daemon.tick()
    assert len(states(daemon.bench)) == 6
    assert daemon.cursor.inbox == ""


@pytest.mark.parametrize(
    ("place", "environment", "said"),
    [
        ("s3://nobody-has-this/in", {}, "there is no such bucket"),
        ("s3://any/in", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached"),
        ("az://container/in", {}, "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_a_store_that_is_away_is_named_in_one_line_and_not_in_the_way_of_others(
    daemon: Daemon,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    environment: dict[str, str],
    said: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    daemon.settings = daemon.settings.model_copy(
        update={"inbox": (place, *daemon.settings.inbox[:1])}
    )
    write_pdf(daemon.bench.inbox / "local.pdf")
    requests = daemon.tick()
    assert documents_of(requests) == [["local"]]
    (warning,) = daemon.warnings
    assert warning.startswith(f"{place}: ")
    assert said in warning
    assert "\n" not in warning
    daemon.queue(requests)
    daemon.tick()
    assert len(daemon.warnings) == 1
    assert said in (daemon.result.skip_reason.skip_message or "")
    (finding, *_) = doctor._folders(daemon.settings)
    assert said in (finding.advice or "")


def test_credentials_that_are_not_there_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(inbox.InboxError, match=r"s3://any/in: there are no credentials; set AWS_"):
        next(inbox.candidates("s3://any/in", settle_s=0))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(inbox.InboxError, match=r"profile \(nobody\) could not be found"):
        next(inbox.candidates("s3://any/in", settle_s=0))


def test_the_extra_that_is_missing_is_named(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(inbox.InboxError, match=r"boto3 is not installed: pip install.*\[s3\]"):
        next(inbox.candidates("s3://any/in", settle_s=0))


def test_process_takes_an_object_or_all_below_an_address(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    s3.put(bucket, **{f"in/{n}.pdf": b"%PDF" for n in range(2)})
    files, _ = cli._files([f"s3://{bucket}/in"])
    names = [file.stat.name for file in files]
    assert names == ["0.pdf", "1.pdf"]
    (one,), _ = cli._files([f"s3://{bucket}/in/1.pdf"])
    assert one.stat.path == f"s3://{bucket}/in/1.pdf"
    done = CliRunner().invoke(cli.app, ["process", f"s3://{bucket}/elsewhere"])
    assert (done.exit_code, "no documents in s3://" in done.output) == (2, True)
