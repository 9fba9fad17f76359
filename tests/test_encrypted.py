"""An encrypted PDF from the command line: without its password, with it, and where that goes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pymupdf
import pytest

pytestmark = pytest.mark.models

SECRET = "Zw3i-Apfel-Baum"  # pragma: allowlist secret
WRONG = "F4lsche-Birne"


def write_locked(path: Path) -> None:
    document = pymupdf.open()
    document.new_page().insert_text((72, 90), "The harvest was good this year.")
    document.save(path, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=SECRET, owner_pw=SECRET)


def command(folder: Path, *arguments: object, **settings: object) -> str:
    """What a command prints, whatever its exit status."""
    named = {f"DEEPCOMPRESS_{name.upper()}": str(value) for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "deepcompress_dagster.cli", *map(str, arguments)],
        env={**os.environ, "DEEPCOMPRESS_DATA_DIR": str(folder / "data"), **named},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    return done.stdout + done.stderr


def everything_kept(data: Path) -> bytes:
    """Each file of the data folder, and each table of the warehouse as text."""
    raw = [path.read_bytes() for path in data.rglob("*") if path.is_file()]
    with duckdb.connect(data / "warehouse.duckdb", read_only=True) as conn:
        names = conn.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE NOT internal"
        ).fetchall()
        raw += [str(conn.execute(f"FROM {name}").fetchall()).encode() for (name,) in names]
    return b"\n".join(raw)


def test_a_password_opens_the_document_on_retry_and_is_written_nowhere(tmp_path):
    write_locked(tmp_path / "bank-2024.pdf")
    listed = tmp_path / "passwords.txt"
    listed.write_text(f"*.pdf = {WRONG}\n")
    said = command(tmp_path, "process", "bank-2024.pdf", passwords_file=listed)
    assert "failed     bank-2024-" in said

    sql = "SELECT error_type, message FROM errors"
    (error,) = json.loads(command(tmp_path, "query", sql, "--format", "json"))
    assert error["error_type"] == "encrypted"
    assert "DEEPCOMPRESS_PASSWORDS_FILE" in error["message"]
    assert "deepcompress retry" in error["message"]

    listed.write_text(f"*.pdf = {WRONG}\nbank-*.pdf = {SECRET}\n")
    said += command(tmp_path, "retry", passwords_file=listed)
    assert "complete   bank-2024-" in said
    sql = "SELECT content FROM text"
    assert "harvest" in command(tmp_path, "query", sql)

    kept = everything_kept(tmp_path / "data")
    assert b"harvest" in kept
    for password in (SECRET, WRONG):
        assert password not in said
        assert password.encode() not in kept


def test_a_bad_file_of_passwords_stops_the_command_in_one_line(tmp_path):
    write_locked(tmp_path / "bank-2024.pdf")
    (tmp_path / "passwords.txt").write_text(SECRET)
    said = command(tmp_path, "process", "bank-2024.pdf", passwords_file="passwords.txt")
    assert "line 1: write `file name or pattern = password`" in said
    assert SECRET not in said
    assert "Traceback" not in said
