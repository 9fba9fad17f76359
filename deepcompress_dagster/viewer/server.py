"""Runs the viewer on an address of this machine, until it is told to stop."""

import socket
from typing import TYPE_CHECKING

from deepcompress_dagster.viewer.app import LOOPBACK, create_app

if TYPE_CHECKING:
    from deepcompress_dagster.settings import Settings

STOP_TIMEOUT_S = 3
"""Time for answers under way when it is told to stop."""


class ViewerError(RuntimeError):
    """The viewer cannot be started; the message says why and what to do."""


def serve(settings: "Settings", *, host: str, port: int) -> None:
    """Serve the results of a data folder until SIGINT or SIGTERM.

    On loopback it answers to loopback's names, and to the name in ``viewer_url``; on another
    address to any name. Raises ViewerError when the port is taken.
    """
    import uvicorn

    from deepcompress_dagster.warehouse import Warehouse

    _require_free(host, port)
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


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ViewerError(
                f"the viewer cannot listen on {host}:{port}: {error.strerror}; choose another port"
                " with --port (view) or --viewer-port (up)"
            ) from error
