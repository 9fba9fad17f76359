"""Ranges of the layout model's tensors on pages of all kinds, by which it is made to run on eight
bits: what models/weights/yolov8n_ranges.json holds."""

import json
import random
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import onnx

from benchmarks.models.corpus import Corpus, Record
from deepcompress_dagster.models.layout.detector import WEIGHTS
from deepcompress_dagster.models.layout.yolov8 import YoloV8Predictor
from deepcompress_dagster.models.onnx_graph import OnnxGraph
from deepcompress_dagster.pipeline.layout import page_sized

CATEGORIES = ("born-digital", "table", "layout", "scan")
PAGES = 24
STEP, LAST = 3, 6
"""Of each document every third of its first six pages may be among those that are chosen."""


def measure_ranges(corpus: Corpus) -> str:
    """Least and largest value of what goes in and out of each convolution, as JSON."""
    weights = corpus.settings.models_dir / "yolov8n-doclaynet" / WEIGHTS
    detector = YoloV8Predictor(OnnxGraph(weights))
    with tempfile.TemporaryDirectory() as work:
        talkative, names = _with_all_outputs(weights, Path(work) / WEIGHTS)
        graph = OnnxGraph(talkative)
    lows: dict[str, float] = defaultdict(float)
    highs: dict[str, float] = defaultdict(float)
    for record, number in _pages(corpus):
        view = corpus.page(record, number)
        pixels, _ = detector.fitted(page_sized(view.pixels, view.scale)[0])
        for name, values in zip(names, [*graph.run(pixels), pixels], strict=True):
            lows[name] = min(lows[name], float(values.min()))
            highs[name] = max(highs[name], float(values.max()))
    return json.dumps({name: (round(lows[name], 4), round(highs[name], 4)) for name in names})


def _pages(corpus: Corpus) -> list[tuple[Record, int]]:
    pages = [
        (record, number)
        for category in CATEGORIES
        for record in corpus.records(category)
        for number in range(1, min(record["pages"] or 1, LAST) + 1, STEP)
    ]
    return random.Random(1).sample(pages, PAGES)


def _with_all_outputs(source: Path, target: Path) -> tuple[Path, list[str]]:
    """The graph with what goes in and out of its convolutions as outputs; their names, the image's
    last."""
    model: Any = onnx.load(str(source))
    image = model.graph.input[0].name
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    seen = [name for node in convolutions for name in (node.input[0], node.output[0])]
    names = [name for name in dict.fromkeys(seen) if name != image]
    outputs = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    onnx.save(model, str(target))
    return target, [*names, image]
