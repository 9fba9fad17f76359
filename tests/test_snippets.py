"""Every command and snippet of the documentation that can run is run, on one processed sample.

A fence says what is done with it: ``python`` and ``sql`` are run; in ``console`` each line behind
``$`` is, and what stands below a command is what it prints; ``yaml`` is a component of Dagster.
What cannot run, or does not belong into a test (installing, containers), is ``text``, ``ini`` or
``nginx``.
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from deepcompress_dagster import cli
from deepcompress_dagster.component import PdfTables
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.warehouse import Warehouse

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("python", "sql", "console", "yaml")
SHOWN = ("text", "ini", "nginx")
ENDLESS = ("up", "view", "metrics")
"""Commands that serve until they are stopped: their options are looked at, no more."""

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@dataclass(frozen=True)
class Snippet:
    """One fenced block, with the page and line where it begins."""

    place: str
    language: str
    text: str


def snippets() -> list[Snippet]:
    found: dict[tuple[str, str], Snippet] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            place = f"{page.relative_to(ROOT)}:{line}"
            found.setdefault(match.groups(), Snippet(place, *match.groups()))
    return list(found.values())


SNIPPETS = snippets()


def of(*languages: str) -> Any:
    chosen = [snippet for snippet in SNIPPETS if snippet.language in languages]
    return pytest.mark.parametrize("snippet", chosen, ids=lambda snippet: snippet.place)


@dataclass(frozen=True)
class Command:
    """A command of a console block and what the block shows of its answer."""

    words: tuple[str, ...]
    answer: str
    place: str


def commands(snippet: Snippet) -> Iterator[Command]:
    """A command goes on over lines until its quotes are closed."""
    for part in re.split(r"^\$ ", snippet.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        for end in range(1, len(lines) + 1):
            command = "\n".join(lines[:end])
            if command.count('"') % 2 == 0:
                words = tuple(shlex.split(command, comments=True))
                yield Command(words, "\n".join(lines[end:]).strip(), snippet.place)
                break


COMMANDS = sorted(
    {
        command.words: command
        for snippet in SNIPPETS
        if snippet.language == "console"
        for command in commands(snippet)
    }.values(),
    key=lambda command: "forget" in command.words,
)
"""Each once; what forgets the document comes last."""


class Reader:
    """Does what the pages say, in a folder with the samples, and a data folder in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "samples", folder / "samples")
        shutil.copy(ROOT / "samples" / "orchard-tables.pdf", folder / "report.pdf")
        (folder / "passwords.txt").write_text("bank-*.pdf = correct horse\n")
        (folder / "inbox").mkdir()

    @property
    def document_id(self) -> str:
        (row,) = Warehouse(self.folder / "data").documents()
        return row.document_id

    def run(self, *line: str) -> Result:
        given = dict(word.split("=", 1) for word in line[: line.index("deepcompress")])
        words = list(line[len(given) + 1 :])
        if words[0] in ENDLESS:
            words = [*words, "--help"]
        words = [self.document_id if word == "DOCUMENT_ID" else word for word in words]
        return CliRunner().invoke(cli.app, words, env=given)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has processed the sample of the first page, and exported what came of it."""
    with pytest.MonkeyPatch.context() as patch:
        reader = Reader(tmp_path_factory.mktemp("reader"))
        patch.chdir(reader.folder)
        patch.setenv("DEEPCOMPRESS_DATA_DIR", str(reader.folder / "data"))
        patch.setenv("DEEPCOMPRESS_INBOX", str(reader.folder / "inbox"))
        done = reader.run("deepcompress", "process", "samples/orchard-tables.pdf")
        assert done.exit_code == 0, done.output
        assert reader.run("deepcompress", "export", "--to", "export").exit_code == 0
        yield reader


def test_every_fence_says_whether_it_is_run() -> None:
    odd = [snippet for snippet in SNIPPETS if snippet.language not in (*RUN, *SHOWN)]
    assert not odd


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    names = {f"DEEPCOMPRESS_{name.upper()}" for name in Settings.model_fields}
    for page in PAGES:
        said = set(re.findall(r"DEEPCOMPRESS_[A-Z]\w+", page.read_text(encoding="utf-8")))
        assert said <= names, page


def test_every_link_of_the_pages_at_the_root_leads_somewhere() -> None:
    for page in PAGES[:2]:
        for target in _LINK.findall(page.read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


@of("yaml")
def test_a_component_takes_the_attributes_that_the_page_gives(snippet: Snippet) -> None:
    said = yaml.safe_load(snippet.text)
    assert said["type"] == "deepcompress_dagster.PdfTables"
    component = PdfTables.resolve_from_dict(said["attributes"])
    assert set(component.settings) <= set(Settings.model_fields)


@pytest.mark.models
@of("python")
def test_python_runs(snippet: Snippet, reader: Reader) -> None:
    exec(compile(snippet.text, snippet.place, "exec"), {"__name__": "snippet"})


@pytest.mark.models
@of("sql")
def test_sql_answers(snippet: Snippet, reader: Reader) -> None:
    answer = Warehouse(reader.folder / "data").query(snippet.text)
    assert answer.num_rows or "FROM errors" in snippet.text


@pytest.mark.models
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words)[:60])
def test_a_command_does_what_the_page_shows(command: Command, reader: Reader) -> None:
    if command.words[0] == "cp":
        shutil.copy(*command.words[-2:])
        return
    done = reader.run(*command.words)
    assert done.exit_code == 0, f"{command.place}: {done.output}"
    assert command.answer in done.output
