"""Runs the viewer on an address of this machine, until it is told to stop."""

from typing import TYPE_CHECKING

from deepcompress_dagster.ports import require_free
from deepcompress_dagster.viewer.app import LOOPBACK, create_app

if TYPE_CHECKING:
    from deepcompress_dagster.settings import Settings

STOP_TIMEOUT_S = 3
"""Time for answers under way when it is told to stop."""


def serve(settings: "Settings", *, host: str, port: int) -> None:
    """Serve the results of a data folder until SIGINT or SIGTERM.

    On loopback it answers to loopback's names, and to the name in ``viewer_url``; on another
    address to any name. Raises PortTakenError.
    """
    import uvicorn

    from deepcompress_dagster.warehouse import Warehouse

    require_free(host, port, "--port (view) or --viewer-port (up)")
    app = create_app(Warehouse(settings.data_dir), allowed_hosts=_names(settings, host))
    print(f"Results are at http://{host}:{port}", flush=True)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )


def _names(settings: "Settings", host: str) -> tuple[str, ...]:
    from urllib.parse import urlsplit

    if host not in LOOPBACK:
        return ("*",)
    behind = urlsplit(settings.viewer_url).hostname if settings.viewer_url else None
    return (*LOOPBACK, behind) if behind else LOOPBACK
