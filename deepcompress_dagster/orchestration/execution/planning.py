"""What is to be done with a document of a run: pure rules, no Dagster and no database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepcompress_dagster import page_ranges
from deepcompress_dagster.asset_graph import ASSETS, SOURCE, read_from_store, upstream

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import AssetState, DocumentRow


@dataclass(frozen=True)
class RunSpec:
    """What a run is asked to do: ``assets`` upstream first, ``pages`` None for all of them.

    With ``skip_unchanged`` what is committed, current and free of errors is not computed again.
    """

    run_id: str
    document_ids: Sequence[str]
    assets: Sequence[str]
    versions: Mapping[str, str]
    pages: tuple[int, ...] | None = None
    skip_unchanged: bool = False


@dataclass(frozen=True)
class DocumentPlan:
    """For one document: what to compute on which pages (None: all), what to report, or why not."""

    compute: tuple[str, ...] = ()
    pages: tuple[int, ...] | None = None
    report: tuple["AssetState", ...] = ()
    refusal: str | None = None


def plan_document(
    spec: RunSpec,
    document: "DocumentRow",
    states: Mapping[str, "AssetState"],
    flawed: Collection[str],
    unreported: Collection[str],
) -> DocumentPlan:
    """What is to be done with one document.

    ``states`` are its committed assets, ``flawed`` those with standing errors, ``unreported``
    those that Dagster does not know. What is committed and unreported is reported instead of
    computed, if it is current; an asset whose upstream is computed is computed as well.
    """
    compute: list[str] = []
    for asset in spec.assets:
        keeps = asset in unreported or (spec.skip_unchanged and asset not in flawed)
        stands = keeps and _is_current(spec, document, states, asset)
        if not stands or any(parent in compute for parent in upstream(asset)):
            compute.append(asset)
    pages = spec.pages
    if missing := _missing_upstream(compute, states):
        return DocumentPlan(refusal=_refusal(compute, missing))
    if stored := read_from_store(compute):
        covered = (_covered(states[parent]) for parent in stored)
        pages = tuple(sorted(_wanted(spec, document).intersection(*covered)))
        if not pages:
            return DocumentPlan(refusal=_refusal(compute, stored))
    report = (states[asset] for asset in ASSETS if asset in unreported and asset not in compute)
    return DocumentPlan(tuple(compute), pages, tuple(report))


def _refusal(compute: Sequence[str], missing: Sequence[str]) -> str:
    return (
        f"{', '.join(compute)} cannot be made: materialise {', '.join(missing)} of these pages"
        " first, or select both"
    )


def _covered(state: "AssetState") -> frozenset[int]:
    return page_ranges.parse(state.pages)


def _wanted(spec: RunSpec, document: "DocumentRow") -> frozenset[int]:
    """The pages that a run is asked of a document; none while its page count is not known."""
    every = frozenset(range(1, (document.page_count or 0) + 1))
    return every if spec.pages is None else every & frozenset(spec.pages)


def _is_current(
    spec: RunSpec, document: "DocumentRow", states: Mapping[str, "AssetState"], asset: str
) -> bool:
    """Whether an asset is committed at this code version, from today's inputs, for these pages."""
    state = states.get(asset)
    if state is None or state.version != spec.versions[asset]:
        return False
    inputs = {
        parent: states[parent].data_version if parent in states else None
        for parent in upstream(asset)
    } or {SOURCE: document.sha256}
    if any(state.input_versions.get(name) != version for name, version in inputs.items()):
        return False
    return _wanted(spec, document) <= _covered(state)


def _missing_upstream(compute: Collection[str], states: Mapping[str, "AssetState"]) -> list[str]:
    """The upstream assets that ``compute`` needs and that are neither in it nor committed."""
    needed = {parent for asset in compute for parent in upstream(asset)}
    return [asset for asset in ASSETS if asset in needed - set(compute) - set(states)]
