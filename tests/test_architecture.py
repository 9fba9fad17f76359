"""The floors of the house: imports go down only, heavy packages are known on one floor each."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "deepcompress_dagster"
NAME = PACKAGE.name
FLOORS = (
    {"records", "settings"},
    {"streaming", "pdf", "models", "warehouse"},
    {"pipeline"},
    {"orchestration", "api", "overlay", "cli", "definitions", "__init__"},
)
HOME = {
    "dagster": {"orchestration", "definitions", "cli"},
    "duckdb": {"warehouse"},
    "torch": {"models"},
    "transformers": {"models"},
    "pymupdf": {"pdf"},
}


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def imports(module: Path) -> set[str]:
    """Every module that ``module`` imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(module):
    for name in imports(module):
        parts = name.split(".")
        if parts[0] == NAME and len(parts) > 1:
            target = parts[1] if parts[1] != "parse" else "api"
            same_room = target == room(module)
            assert same_room or floor(target) < floor(room(module)) or floor(room(module)) == 3, (
                f"{module} imports {name}"
            )


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_dagster_duckdb_torch_and_pymupdf_are_known_on_one_floor_each(module):
    for name in imports(module):
        home = HOME.get(name.split(".")[0])
        assert home is None or room(module) in home, f"{module} imports {name}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        (NAME, {"dagster", "duckdb", "torch", "transformers", "polars", "pymupdf"}),
        (f"{NAME}.definitions", {"duckdb", "torch", "transformers", "pymupdf"}),
        (f"{NAME}.pipeline.parse", {"dagster", "duckdb", "torch", "transformers", "pymupdf"}),
        (f"{NAME}.pdf.worker", {"dagster", "duckdb", "torch", "transformers"}),
    ],
)
def test_importing_stays_light(module, absent):
    code = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
