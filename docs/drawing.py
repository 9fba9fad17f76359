"""The picture of the floors, drawn from the imports of the code, so that it cannot drift from it.

Boxes are packages and top-level modules of ``deepcompress_dagster``; a box stands above all that it
imports, an arrow leads from the importing one to the imported. Called by the documentation's build.
"""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "deepcompress_dagster"

WIDTH, BOX_WIDTH, BOX_HEIGHT, FLOOR_HEIGHT = 960, 150, 44, 120
"""Pixels."""


def rooms() -> dict[str, int]:
    """Packages and top-level modules with their lines of code."""
    found: dict[str, int] = {}
    for module in PACKAGE.rglob("*.py"):
        name = _room(module)
        lines = len(module.read_text(encoding="utf-8").splitlines())
        found[name] = found.get(name, 0) + lines
    return {name: lines for name, lines in found.items() if name != "__init__"}


def imports() -> dict[str, set[str]]:
    """For each room the rooms that it imports anywhere in it, itself left out."""
    known = set(rooms())
    arrows: dict[str, set[str]] = {name: set() for name in known}
    for module in PACKAGE.rglob("*.py"):
        name = _room(module)
        if name in known:
            arrows[name] |= (_imported(module) & known) - {name}
    return arrows


def floors(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    """The floor of each room: 0 for one that imports no other. Raises ValueError for a circle."""

    @cache
    def floor(name: str, path: tuple[str, ...] = ()) -> int:
        if name in path:
            raise ValueError(f"imports run in a circle: {' -> '.join((*path, name))}")
        return 1 + max((floor(below, (*path, name)) for below in arrows[name]), default=-1)

    return {name: floor(name) for name in arrows}


def svg() -> str:
    """The drawing; an arrow that another path of arrows implies is left out."""
    lines, arrows = rooms(), imports()
    placed = floors(arrows)
    top = max(placed.values())
    spots: dict[str, tuple[float, float]] = {}
    for number in range(top + 1):
        here = sorted(name for name, floor in placed.items() if floor == number)
        for index, name in enumerate(here):
            x = WIDTH * (index + 1) / (len(here) + 1)
            spots[name] = (x, 40 + FLOOR_HEIGHT * (top - number))
    parts = [
        f'<line x1="{spots[a][0]:.0f}" y1="{spots[a][1] + BOX_HEIGHT / 2:.0f}" '
        f'x2="{spots[b][0]:.0f}" y2="{spots[b][1] - BOX_HEIGHT / 2:.0f}" '
        'stroke="#90a4ae" marker-end="url(#tip)"/>'
        for a in sorted(arrows)
        for b in sorted(_direct(a, arrows))
    ]
    for name, (x, y) in sorted(spots.items()):
        parts.append(
            f'<rect x="{x - BOX_WIDTH / 2:.0f}" y="{y - BOX_HEIGHT / 2:.0f}" rx="4" '
            f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}" fill="#eceff1" stroke="#546e7a"/>'
            f'<text x="{x:.0f}" y="{y - 2:.0f}" text-anchor="middle">{name}</text>'
            f'<text x="{x:.0f}" y="{y + 14:.0f}" text-anchor="middle" fill="#607d8b" '
            f'font-size="11">{lines[name]:,} lines</text>'
        )
    height = 80 + FLOOR_HEIGHT * top
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="14"><defs><marker id="tip" markerWidth="8" '
        'markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0 0 8 4 0 8z" '
        'fill="#90a4ae"/></marker></defs><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    prefix = f"{PACKAGE.name}."
    return {name.removeprefix(prefix).split(".")[0] for name in found if name.startswith(prefix)}


def _direct(name: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """What a room imports and reaches by no longer way."""
    below = arrows[name]
    return {one for one in below if not any(one in _reached(o, arrows) for o in below if o != one)}


def _reached(name: str, arrows: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        for below in arrows[waiting.pop()] - reached:
            reached.add(below)
            waiting.append(below)
    return reached
