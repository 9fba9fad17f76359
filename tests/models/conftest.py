"""Tiny random checkpoints of the transformer families, built once a session and loaded as ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.checkpoints import build
from deepcompress_dagster.models import registry
from deepcompress_dagster.models.catalog import ModelSpec
from deepcompress_dagster.models.predictor import Image, Predictor
from deepcompress_dagster.models.registry import load_predictor
from deepcompress_dagster.records import BBox

Load = Callable[..., Predictor[Any, Any]]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny checkpoint, by model type."""
    folder = tmp_path_factory.mktemp("tiny")
    made: dict[str, Path] = {}

    def checkpoint(model_type: str) -> Path:
        if model_type not in made:
            made[model_type] = build(model_type, folder / model_type)
        return made[model_type]

    return checkpoint


@pytest.fixture(scope="session")
def load(tiny: Callable[[str], Path]) -> Load:
    """A predictor through the project's own loading: of a model type, or of a folder."""

    def predictor(model: str | Path, dtype: str = "float32", **options: Any) -> Any:
        folder = tiny(model) if isinstance(model, str) else model
        model_type = model if isinstance(model, str) else registry_type(folder)
        task = registry.FAMILIES[model_type].task
        spec = ModelSpec(task, str(folder), None, "cpu", dtype, tuple(options.items()))
        return load_predictor(spec)

    return predictor


def registry_type(folder: Path) -> str:
    model_type: str = json.loads((folder / "config.json").read_text())["model_type"]
    return model_type


@pytest.fixture(scope="session")
def pictures() -> list[Image]:
    """Eight images of blocks of noise, of different shapes, two of them of the same."""
    random = np.random.default_rng(5)
    shapes = [
        (300, 220),
        (220, 300),
        (300, 230),
        (150, 400),
        (64, 64),
        (500, 500),
        (300, 220),
        (299, 221),
    ]
    return [blocks(random, *shape) for shape in shapes]


def blocks(random: np.random.Generator, height: int, width: int) -> Image:
    coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


def iou(one: BBox, other: BBox) -> float:
    """Intersection over union."""
    shared = one.intersection(other)
    return shared / (one.area + other.area - shared)
