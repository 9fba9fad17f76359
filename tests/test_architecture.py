"""The floors of the house: imports go down only, heavy packages are known on one floor each."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "deepcompress_dagster"
NAME = PACKAGE.name
FLOORS = (
    {
        "asset_graph",
        "document_names",
        "file_lock",
        "object_store",
        "page_ranges",
        "process_hooks",
        "unicode_text",
    },
    {"records", "settings", "ports"},
    {"streaming", "pdf", "models", "warehouse", "passwords"},
    {"pipeline", "export"},
    {"hosts"},
    {"orchestration", "api", "overlay", "viewer", "mcp_server", "metrics_server"}
    | {"cli", "definitions", "component", "__init__"},
)
RINGS = (
    {"naming", "partitions", "checks", "companions", "inbox", "disk", "run_records", "run_store"}
    | {"custody", "run_metrics"},
    {"execution"},
    {"defs"},
    {"ingest", "forgetting", "doctor", "server"},
)
"""Of ``orchestration``, from the inside."""

HOME = {
    "dagster": ("orchestration", "definitions", "component", "cli"),
    "duckdb": ("warehouse",),
    "torch": ("models",),
    "transformers": ("models",),
    "onnx": ("models",),
    "onnxruntime": ("models",),
    "obstore": ("object_store",),
    "ray": ("hosts.ray",),
    "pymupdf": ("pdf.worker",),
    f"{NAME}.pdf.worker": ("pdf.worker",),
}
"""Where a package may be imported; the modules of the worker process are imported only there."""


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def own_name(module: Path) -> str:
    """The module's name below the package: ``pdf.worker.render``."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


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
            assert (
                same_room
                or floor(target) < floor(room(module))
                or floor(room(module)) == len(FLOORS) - 1
            ), f"{module} imports {name}"


def ring(name: str) -> int:
    return next(number for number, modules in enumerate(RINGS) if name in modules)


@pytest.mark.parametrize(
    "module", sorted((PACKAGE / "orchestration").rglob("[!_]*.py")), ids=lambda path: path.name
)
def test_imports_within_orchestration_go_inwards_only(module):
    own = module.relative_to(PACKAGE / "orchestration").parts[0].removesuffix(".py")
    for name in imports(module):
        parts = name.split(".")
        if parts[:2] == [NAME, "orchestration"] and parts[2] != own:
            assert ring(parts[2]) <= ring(own), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_and_the_worker_process_are_known_in_one_place_each(module):
    for name in imports(module):
        for package, homes in HOME.items():
            at_home = any(is_within(own_name(module), home) for home in homes)
            assert at_home or not is_within(name, package), f"{module} imports {name}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        (NAME, {"dagster", "duckdb", "torch", "transformers", "onnxruntime", "polars", "pymupdf"}),
        (f"{NAME}.definitions", {"duckdb", "torch", "transformers", "pymupdf"}),
        (f"{NAME}.pipeline.parse", {"dagster", "duckdb", "torch", "transformers", "pymupdf"}),
        (f"{NAME}.pdf.client", {"dagster", "duckdb", "torch", "transformers", "pymupdf"}),
        (f"{NAME}.pdf.worker.handlers", {"dagster", "duckdb", "torch", "transformers"}),
    ],
)
def test_importing_stays_light(module, absent):
    code = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_one_module_knows_onnx_runtime():
    assert [module.name for module in MODULES if "onnxruntime" in imports(module)] == [
        "onnx_graph.py"
    ]
