"""What the processes of a soak do: ``deepcompress`` on the definitions with tiny models."""

from collections.abc import Sequence
from pathlib import Path

from deepcompress_dagster.orchestration import ingest, server
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.settings import load_settings
from deepcompress_dagster.warehouse import Warehouse


def serve(port: int) -> int:
    """``deepcompress up`` on the definitions with tiny models."""
    server.DEFINITIONS = "benchmarks.tiny"
    folder = load_settings().data_dir.parent
    return server.serve(load_settings(), host="127.0.0.1", port=port, log_file=folder / "up.log")


def process(files: Sequence[Path]) -> int:
    """``deepcompress process`` with tiny models."""
    from benchmarks.tiny import defs

    settings = load_settings()
    with server.open_instance(settings) as instance:
        registered = register_documents(instance, Warehouse(settings.data_dir), files)
        ids = [found.document_id for found in registered if found.document_id]
        return 0 if ingest.materialize_documents(instance, defs(), ids).success else 1
