"""Ports of this machine: whether one can be listened on."""

import socket


class PortTakenError(OSError):
    """A port cannot be used; the message says why and which option chooses another."""


def require_free(host: str, port: int, option: str) -> None:
    """Raises PortTakenError where nothing can listen on the port; ``option`` chooses another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTakenError(
                f"{host}:{port} cannot be used ({error.strerror}); stop what uses it or choose"
                f" another with {option}"
            ) from error
