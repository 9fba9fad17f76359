"""What goes wrong with a host itself; errors of documents and models are told as they are."""


class HostError(RuntimeError):
    """The place where parsing should run cannot be used; the message says why and what to do."""
