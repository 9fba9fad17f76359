from pathlib import Path

import pytest

from deepcompress_dagster.passwords import load_passwords
from deepcompress_dagster.settings import Settings, SettingsError


def settings_of(folder: Path, text: str | bytes | None = None, password: str | None = None):
    path = None
    if text is not None:
        path = folder / "passwords.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Settings(_env_file=None, passwords_file=path, password=password)


def test_all_patterns_that_match_give_their_password_in_order_and_the_common_one_last(tmp_path):
    lines = "# ours\n\nbank-*.pdf = first\r\n*.pdf=second\nother.pdf = third\nbank-*=first\n"
    passwords = load_passwords(settings_of(tmp_path, lines, password="common"))
    assert passwords.for_name("bank-2024.pdf") == ("first", "second", "common")
    assert passwords.for_name("note.txt") == ("common",)


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("a.pdf\t spaced out ", " spaced out "),
        ("a.pdf = with = sign", "with = sign"),
        ("A.PDF=upper", "upper"),
        ("\ufeffa.pdf = marked", "marked"),
        ("a.pdf = ключ\u2028x", "ключ\u2028x"),
    ],
)
def test_a_password_is_taken_as_it_was_meant(tmp_path, line, password):
    assert load_passwords(settings_of(tmp_path, line)).for_name("a.pdf") == (password,)


def test_names_match_however_their_accents_are_composed(tmp_path):
    passwords = load_passwords(settings_of(tmp_path, "caf\u00e9*=x"))
    assert passwords.for_name("cafe\u0301.pdf") == ("x",)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a.pdf = fine\nsecret-without-pattern", "line 2: write `file name or pattern = password`"),
        ("a.pdf =", "line 1"),
        (" = secret-without-pattern", "line 1"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_without_a_word_of_what_it_says(tmp_path, text, hint):
    settings = settings_of(tmp_path, text)
    with pytest.raises(SettingsError, match="DEEPCOMPRESS_PASSWORDS_FILE") as refused:
        load_passwords(settings)
    assert hint in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    settings = Settings(_env_file=None, passwords_file=tmp_path / "none.txt")
    with pytest.raises(SettingsError, match="No such file or directory; create it"):
        load_passwords(settings)


def test_nothing_that_prints_settings_or_passwords_shows_one(tmp_path):
    settings = settings_of(tmp_path, "*=alpha", password="omega")
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    shown += repr(load_passwords(settings))
    assert "alpha" not in shown
    assert "omega" not in shown
