"""A mail for each failed run; without MAIL_TO nobody is told."""

import os
import smtplib
from email.message import EmailMessage

import dagster as dg

from deepcompress_dagster.orchestration.defs.alerts import failure_sensor
from deepcompress_dagster.orchestration.naming import Naming


def mail(text: str) -> None:
    message = EmailMessage()
    message["Subject"] = text.splitlines()[0][:200]
    message["From"], message["To"] = os.environ["MAIL_FROM"], os.environ["MAIL_TO"]
    message.set_content(text)
    with smtplib.SMTP(os.environ.get("MAIL_HOST", "localhost"), timeout=30) as server:
        server.send_message(message)


@dg.definitions
def alerts() -> dg.Definitions:
    if "MAIL_TO" not in os.environ:
        return dg.Definitions()
    return dg.Definitions(sensors=[failure_sensor(mail, Naming(key_prefix=("invoices",)))])
