"""Totals of all invoices, made anew when a table of one of them changes."""

from pathlib import Path

import dagster as dg
import duckdb

DATA = Path(__file__).parents[3] / "data"
SQL = Path(__file__).with_suffix(".sql")

WHEN_TABLES_CHANGE = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
)
"""Not ``eager()``: that waits until every invoice has tables, and a damaged one never does."""


@dg.asset(
    deps=[["invoices", "tables"]],
    group_name="invoices",
    kinds={"duckdb", "sql"},
    automation_condition=WHEN_TABLES_CHANGE,
)
def invoice_totals() -> dg.MaterializeResult:
    """One row per invoice with its total."""
    with duckdb.connect(DATA / "analytics.duckdb") as conn:
        conn.execute(f"ATTACH '{DATA / 'invoices' / 'deepcompress.duckdb'}' AS pdfs (READ_ONLY)")
        conn.execute(SQL.read_text(encoding="utf-8"))
        count, total = conn.sql("SELECT count(*), sum(total) FROM invoice_totals").fetchall()[0]
    return dg.MaterializeResult(metadata={"invoices": count, "total": float(total or 0)})


refresh = dg.AutomationConditionSensorDefinition(
    "refresh", target="*", default_status=dg.DefaultSensorStatus.RUNNING
)
"""Dagster's own sensor for conditions is stopped until somebody starts it."""
