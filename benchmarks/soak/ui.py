"""What the pages of Dagster's UI ask of the webserver."""

import json
import urllib.request
from collections.abc import Collection
from typing import Any

from benchmarks.soak.bench import PORT

RUNS = "{ runsOrError(limit: 50) { ... on Runs { results { runId status } } } }"


TERMINATE = "mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"


def run_statuses(without: Collection[str] = ()) -> dict[str, str]:
    """Status of each run by its id, as the UI shows them."""
    runs_found = ask(RUNS)["runsOrError"]["results"]
    return {run["runId"]: run["status"] for run in runs_found if run["runId"] not in without}


def ask(query: str, **variables: str) -> dict[str, Any]:
    """What the webserver answers to a query of the UI."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
        return data
