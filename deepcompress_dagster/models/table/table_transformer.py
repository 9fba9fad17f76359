"""Reads the structure of tables with Table Transformer, a DETR that finds rows and columns.

Thresholds are those of the model's own repository (microsoft/table-transformer, inference.py).
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.predictor import CellGrid, Image, ModelError
from deepcompress_dagster.models.shared.object_detector import Candidates, ObjectDetector
from deepcompress_dagster.models.table.structure import (
    COLUMN,
    HEADER,
    PROJECTED_HEADER,
    ROW,
    SPANNING_CELL,
    TABLE,
    Part,
    grid_of,
)
from deepcompress_dagster.records import BBox
from deepcompress_dagster.settings import Attention

THRESHOLD = 0.5
"""Lowest score of a part."""

CANVAS_STEP = 256
"""Sides of what the model sees are multiples of this, so that tables of many shapes share a
batch; padding is part of its training."""

_PARTS = frozenset({TABLE, ROW, COLUMN, HEADER, PROJECTED_HEADER, SPANNING_CELL})


class TableTransformerPredictor:
    """Reads the structure of table crops; cells come without text."""

    def __init__(self, detector: ObjectDetector, *, name: str) -> None:
        missing = {ROW, COLUMN} - set(detector.labels.values())
        unknown = set(detector.labels.values()) - _PARTS
        if missing or unknown:
            raise ModelError(
                f"{name} does not read the structure of tables: its classes are "
                f"{', '.join(detector.labels.values())}; choose a structure recognition checkpoint"
            )
        self.name = name
        self.device = detector.device
        self._detector = detector
        # Named here as well, so that the cache finds the weights that it accounts for.
        self._module = detector.module

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        device: str = CPU,
        dtype: str = "float32",
        *,
        attention: str = Attention.AUTO,
    ) -> "TableTransformerPredictor":
        """The predictor of a checkpoint folder. Raises ModelError when it cannot be used."""
        detector = ObjectDetector.from_folder(
            folder, device, dtype, attention=attention, step=CANVAS_STEP
        )
        return cls(detector, name=folder.name)

    def predict(self, batch: Sequence[Image]) -> list[CellGrid]:
        """One grid per crop, with boxes in pixels of the crop; no cells where no table is seen."""
        found = self._detector.candidates(batch, self.name)
        return [self._grid(image, own) for image, own in zip(batch, found, strict=True)]

    def _grid(self, image: Image, found: Candidates) -> CellGrid:
        height, width = image.shape[:2]
        parts: defaultdict[str, list[Part]] = defaultdict(list)
        for corners, scores in zip(found.boxes.tolist(), found.scores.round(4), strict=True):
            best = int(scores.argmax())
            box = BBox(*corners).clipped(width, height).rounded()
            if scores[best] >= THRESHOLD and box.width > 0 and box.height > 0:
                parts[self._detector.labels[best]].append(Part(box, float(scores[best])))
        return grid_of(parts)
