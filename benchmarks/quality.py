"""Quality on a folder of documents with ground truth, through ``deepcompress process``.

    python -m benchmarks.quality CORPUS [--only CATEGORY,ID] [--max-pages 300]

CORPUS holds ``manifest.json``, the documents and ``score.py`` with its ``requirements.txt``. Images
are wrapped into one-page PDFs. Prints mean scores by category, wall and CPU seconds a page by
stage, peak memory and model loads, as the tables of benchmarks/README.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pymupdf

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.orchestration.server import open_instance
from deepcompress_dagster.settings import load_settings
from deepcompress_dagster.warehouse import Warehouse

CATEGORIES = ("born-digital", "scan", "table", "chart", "layout", "long")

METRICS = {
    "born-digital": ("nid", "order", "mhs", "text_sim", "facts"),
    "scan": ("cer", "cer_ci", "wer", "text_sim", "fields"),
    "table": ("teds", "teds_s", "adj_f1", "tab_r"),
    "chart": ("chart_f1", "tok_f1"),
    "layout": ("layout_f1",),
    "long": ("nid", "order", "mhs", "text_sim"),
}
"""The scores that tell something of a category."""


@dataclass(frozen=True)
class Cost:
    """What the run took: seconds as a whole and peak memory of its largest process."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def chosen(manifest: Path, only: set[str], max_pages: int) -> tuple[list[Any], list[Any]]:
    """Documents to run, and those left out because they have more than ``max_pages``."""
    records = json.loads(manifest.read_text())["documents"]
    wanted = [
        record
        for record in records
        if record["category"] in CATEGORIES
        and (not only or only & {record["id"], record["category"], record.get("family")})
    ]
    kept = [record for record in wanted if (record.get("pages") or 1) <= max_pages]
    return kept, [record for record in wanted if record not in kept]


def as_pdf(source: Path, name: str, folder: Path) -> Path:
    """A PDF named by the document's id: a link to the file, or the image on one page."""
    target = folder / f"{name}.pdf"
    if source.suffix.lower() == ".pdf":
        target.symlink_to(source.resolve())
    else:
        with pymupdf.open(source) as image:
            target.write_bytes(image.convert_to_pdf())
    return target


def process(folder: Path, data_dir: Path, *options: str, **variables: str) -> Cost:
    """Run ``deepcompress process`` over the folder, as a user would."""
    environment = {**os.environ, "DEEPCOMPRESS_DATA_DIR": str(data_dir), **variables}
    command = [sys.executable, "-m", "deepcompress_dagster.cli", "process", str(folder), *options]
    started = time.monotonic()
    subprocess.run(command, env=environment, check=False)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(time.monotonic() - started, cpu, usage.ru_maxrss / 1024)


def rows(warehouse: Warehouse, sql: str) -> list[dict[str, Any]]:
    return warehouse.query(sql).to_pylist()


def write_predictions(warehouse: Warehouse, folder: Path) -> None:
    """One JSON file a document in the form that the scorer reads."""
    found = {
        row["document_id"]: {
            "status": "ok" if row["status"] in ("complete", "partial") else "error",
            "error": row["error"],
            "pages": row["page_count"],
            "markdown": row["markdown"] or "",
            "name": Path(row["file_name"]).stem,
            "tables": [],
            "charts": [],
            "regions": [],
        }
        for row in rows(warehouse, DOCUMENTS)
    }
    for row in rows(warehouse, TABLES):
        found[row["document_id"]]["tables"].append({"page": row["page"], "html": row["html"]})
    for row in rows(warehouse, CHARTS):
        data = row["data"]
        chart = {"page": row["page"], "columns": data["columns"], "rows": data["rows"]}
        found[row["document_id"]]["charts"].append(chart)
    for row in rows(warehouse, REGIONS):
        found[row["document_id"]]["regions"].append(
            {"page": row["page"], "label": row["label"], "bbox": row["bbox"]}
        )
    folder.mkdir(exist_ok=True)
    for prediction in found.values():
        text = json.dumps(prediction, ensure_ascii=False)
        (folder / f"{prediction['name']}.json").write_text(text)


DOCUMENTS = """
SELECT document_id, file_name, status, error, page_count, markdown
FROM documents LEFT JOIN document_markdown USING (document_id) WHERE is_current
"""
TABLES = """
SELECT document_id, page_number AS page, html FROM tables
ORDER BY document_id, page_number, reading_order
"""
CHARTS = """
SELECT document_id, page_number AS page, data FROM figures WHERE data IS NOT NULL
ORDER BY document_id, page_number, reading_order
"""
REGIONS = """
SELECT l.document_id, l.page_number AS page, l.label,
       [x0 / width, y0 / height, x1 / width, y1 / height] AS bbox
FROM layouts l JOIN pages p USING (document_id, page_number) ORDER BY ALL
"""
STAGES = """
SELECT stage, count(DISTINCT (document_id, page_number)) AS pages, sum(seconds) AS seconds
FROM page_timings GROUP BY stage ORDER BY seconds DESC
"""


def model_loads(data_dir: Path) -> Counter[str]:
    """How often each model was loaded, over all runs, as their materializations say."""
    by_run: dict[str, dict[str, int]] = {}
    with open_instance(load_settings(data_dir=data_dir)) as instance:
        for name in ASSETS:
            records = instance.fetch_materializations(dg.AssetKey(name), limit=10_000).records
            for record in records:
                found = record.asset_materialization
                loads = found.metadata.get("model loads") if found else None
                if isinstance(loads, dg.JsonMetadataValue):
                    run = by_run.setdefault(record.run_id, {})
                    for model, count in loads.data.items():
                        run[model] = max(run.get(model, 0), count)
    return sum((Counter(run) for run in by_run.values()), Counter())


def score(corpus: Path, predictions: Path, out: Path) -> dict[str, Any]:
    """The scorer's report, by category."""
    command = [
        sys.executable,
        str(corpus / "score.py"),
        *("--manifest", str(corpus / "manifest.json"), "--pred", str(predictions)),
        *("--out", str(out), "--present"),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    report: dict[str, Any] = json.loads(out.read_text())
    return report


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    cells = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in cells)


def score_tables(report: dict[str, Any]) -> str:
    tables = []
    for category in CATEGORIES:
        means = report["by_category"].get(category)
        if means:
            metrics = [name for name in METRICS[category] if name in means]
            header = [category, *metrics]
            tables.append(markdown_table(header, [[means["n"], *(means[m] for m in metrics)]]))
    return "\n\n".join(tables)


def cost_table(warehouse: Warehouse, cost: Cost, loads: Counter[str]) -> str:
    pages = rows(warehouse, "SELECT count(*) AS n FROM pages")[0]["n"]
    whole = [
        ["whole run, wall", pages, f"{cost.wall_s:.0f}", f"{cost.wall_s / max(1, pages):.3f}"],
        ["whole run, CPU", pages, f"{cost.cpu_s:.0f}", f"{cost.cpu_s / max(1, pages):.3f}"],
    ]
    stages = [
        [
            row["stage"],
            row["pages"],
            f"{row['seconds']:.0f}",
            f"{row['seconds'] / row['pages']:.3f}",
        ]
        for row in rows(warehouse, STAGES)
    ]
    table = markdown_table(["stage", "pages", "seconds", "seconds a page"], [*whole, *stages])
    loaded = ", ".join(f"{name} {count}" for name, count in sorted(loads.items()))
    peak = f"Peak memory of the largest process: {cost.peak_mb:.0f} MB"
    return f"{table}\n\n{peak}. Model loads: {loaded}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", default="", help="comma list of categories, families or ids")
    parser.add_argument("--max-pages", type=int, default=300)
    parser.add_argument("--work", type=Path, help="keep predictions and warehouse in this folder")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="deepcompress-quality-"))
    (work / "pdfs").mkdir(parents=True)
    only = set(filter(None, arguments.only.split(",")))
    kept, left_out = chosen(arguments.corpus / "manifest.json", only, arguments.max_pages)
    for record in kept:
        as_pdf(arguments.corpus / record["file"], record["id"], work / "pdfs")
    cost = process(work / "pdfs", work / "data")
    warehouse = Warehouse(work / "data")
    write_predictions(warehouse, work / "predictions")
    report = score(arguments.corpus, work / "predictions", work / "scores.json")
    print(f"{len(kept)} documents; left out: {[record['id'] for record in left_out] or 'none'}\n")
    print(score_tables(report), "\n")
    print(cost_table(warehouse, cost, model_loads(work / "data")))


if __name__ == "__main__":
    main()
