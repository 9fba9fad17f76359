"""Whoever wants to know of failed runs: a sensor that tells them, by mail, by chat, by anything.

What belongs here: which runs are told of, and what is said. What does not: who is told, which the
settings (a webhook) or the project (a function of its own) say.
"""

import json
from collections.abc import Callable
from functools import partial
from urllib.request import Request, urlopen

import dagster as dg

from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.naming import PLAIN, Naming

POST_TIMEOUT_S = 10.0
"""Time for a webhook to answer; a tick of the sensor has a minute in all."""


def failure_sensor(send: Callable[[str], object], names: Naming = PLAIN) -> dg.SensorDefinition:
    """A sensor that calls ``send`` with a text for each failed run of this pipeline.

    Runs that a Ctrl-C or the end of the machine interrupted are taken up again and not told of.
    What ``send`` raises is shown at the tick.
    """

    @dg.run_failure_sensor(
        name=names.failure_sensor,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of failed runs, with the documents that failed and why.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        interrupted = run.tags.get(run_records.INTERRUPTED_TAG) == run_records.BY_SIGNAL
        if run_records.is_ours(run, names) and not interrupted:
            send(failure_text(context))

    return sensor


def failure_text(context: dg.RunFailureSensorContext) -> str:
    """Which run failed, and what it says of its documents: the reasons come last."""
    run = context.dagster_run
    reasons = [
        data.user_failure_data.description or "" if data.user_failure_data else str(data.error)
        for event in context.get_step_failure_events()
        if (data := event.step_failure_data)
    ]
    told = "\n".join(filter(None, reasons)) or context.failure_event.message or ""
    return f"{run.job_name}, run {run.run_id[:8]}, failed: {told}"


def webhook(address: str) -> Callable[[str], object]:
    """Posts ``{"text": ...}``, which Slack, Mattermost and Teams take."""
    return partial(_post, address)


def _post(address: str, text: str) -> None:
    content = json.dumps({"text": text}).encode()
    request = Request(address, content, {"content-type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=POST_TIMEOUT_S):  # noqa: S310  the settings take http(s) alone
        pass
