"""The assets, each described once: what it is made from, by which stages and models, what it says.

Everything else that depends on the list of assets follows from here: the plan of a run, the stages
that count for an asset, its code version, its staging table, its staleness, and what the UI shows.
Not here: its columns (warehouse/schema.py), how a page's rows become theirs (warehouse/rows.py),
how they are made (pipeline/), and the settings that change them (settings.py, at each setting).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

SOURCE = "source"
"""The PDF itself among the inputs of an asset that is made from no other."""

# Stages. Those of an asset are where it can fail and what its time is spent on.
OPEN = "open"
RENDER = "render"
ORIENTATION = "orientation"
LAYOUT = "layout"
TEXT = "text"
DOCUMENT_PASS = "document_pass"
RULED_TABLES = "ruled_tables"
TABLES = "tables"
FIGURES = "figures"


@dataclass(frozen=True)
class Asset:
    """One asset: one table with rows of one kind, replaced document by document.

    ``upstream`` are the assets that it is made from; none where it is made from the PDF itself.
    ``stages`` are those that work for it and ``models`` the tasks whose models change its rows, by
    name. ``revision`` is raised by hand when a change of code changes its rows. ``kinds`` are the
    badges that Dagster shows.
    """

    name: str
    description: str
    stages: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    revision: int = 1
    kinds: frozenset[str] = frozenset({"duckdb"})


DESCRIBED = (
    Asset(
        "pages",
        "One row per page: its size, rotation and resolution, and whether it carries text,"
        " and what lies over it: form fields, annotations, links.",
        stages=(OPEN, RENDER),
        revision=5,
    ),
    Asset(
        "layouts",
        "One row per region that the layout model found, or that the text layer alone told: its"
        " class, box, score and place in reading order.",
        stages=(ORIENTATION, LAYOUT),
        upstream=("pages",),
        models=("orientation", "layout"),
        revision=12,
    ),
    Asset(
        "text",
        "One row per text block: what it says, whether it was read from the PDF or from pixels,"
        " heading levels, and lines with their boxes.",
        stages=(TEXT, DOCUMENT_PASS),
        upstream=("layouts",),
        models=("orientation", "text"),
        revision=14,
    ),
    Asset(
        "tables",
        "One row per table: its cells with spans and boxes, as rows, HTML and Markdown.",
        stages=(RULED_TABLES, TABLES),
        upstream=("layouts",),
        models=("orientation", "text", "table"),
        revision=15,
    ),
    Asset(
        "figures",
        "One row per figure: its kind, caption, the text inside it, and its data where they are"
        " certain.",
        stages=(FIGURES,),
        upstream=("layouts",),
        models=("orientation", "text", "figure"),
        revision=11,
    ),
)
"""Upstream first."""


def graph(assets: Iterable[Asset]) -> Mapping[str, Asset]:
    """Assets by name, in order. Raises ValueError where one stands before what it is made from."""
    found: dict[str, Asset] = {}
    for asset in assets:
        unknown = sorted(set(asset.upstream) - found.keys())
        if unknown or asset.name in found:
            raise ValueError(f"{asset.name} is twice there, or is made from {unknown} behind it")
        found[asset.name] = asset
    return found


GRAPH: Mapping[str, Asset] = graph(DESCRIBED)

ASSETS: tuple[str, ...] = tuple(GRAPH)
"""The names of the assets, upstream first."""

STAGE_ASSET: Mapping[str, str] = {
    stage: asset.name for asset in GRAPH.values() for stage in asset.stages
}
"""The asset whose rows a stage's failure spoils."""

EDGES: tuple[tuple[str, str], ...] = tuple(
    (asset.name, parent) for asset in GRAPH.values() for parent in asset.upstream
)
"""Each asset with each that it is made from."""


def upstream(asset: str) -> tuple[str, ...]:
    """The assets that ``asset`` is made from."""
    return GRAPH[asset].upstream


def in_order(assets: Collection[str]) -> tuple[str, ...]:
    """``assets`` upstream first. Raises ValueError for a name that is none, or for no name."""
    unknown = sorted(set(assets) - GRAPH.keys())
    if unknown or not assets:
        raise ValueError(f"select one or more of {', '.join(ASSETS)}; got {unknown or 'nothing'}")
    return tuple(asset for asset in ASSETS if asset in assets)


def read_from_store(assets: Collection[str]) -> tuple[str, ...]:
    """What making ``assets`` reads of the committed rows of others, upstream first.

    What is made from the PDF alone is made again instead: a page is rendered, not looked up.
    """
    needed = {parent for asset in assets for parent in upstream(asset) if upstream(parent)}
    return tuple(asset for asset in ASSETS if asset in needed - set(assets))
