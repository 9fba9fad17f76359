"""The streaming engine: items through shared stages, in microbatches, without barriers.

It knows nothing of PDFs and needs the standard library only. ``flow`` says how an item's way is
written, ``microbatch`` what a stage and a batch are, ``stream`` runs them, ``turns`` merges what
several sources put in, ``metrics`` counts.
"""

from deepcompress_dagster.streaming.flow import Call, CallTiming, Flow, FlowTimings, ItemFailed
from deepcompress_dagster.streaming.metrics import StageMetrics, StreamMetrics, total
from deepcompress_dagster.streaming.microbatch import BatchSizer, Stage, not_counted
from deepcompress_dagster.streaming.stream import StageHung, Stream, StreamCancelled
from deepcompress_dagster.streaming.turns import Source, Turns

__all__ = [
    "BatchSizer",
    "Call",
    "CallTiming",
    "Flow",
    "FlowTimings",
    "ItemFailed",
    "Source",
    "Stage",
    "StageHung",
    "StageMetrics",
    "Stream",
    "StreamCancelled",
    "StreamMetrics",
    "Turns",
    "not_counted",
    "total",
]
