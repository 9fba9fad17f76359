import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoImageProcessor, AutoModelForObjectDetection, ResNetConfig

from benchmarks.checkpoints import DOCLAYNET, HERON, build
from deepcompress_dagster.models.layout.detr import labels_of
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.weights import pretrained
from deepcompress_dagster.records import Label
from tests.models.conftest import iou

LAYOUTS = ("detr", "rt_detr", "rt_detr_v2")


@pytest.mark.parametrize("model_type", LAYOUTS)
def test_regions_are_those_that_transformers_itself_finds(model_type, tmp_path, load, pictures):
    picture = pictures[5]
    folder = build(model_type, tmp_path / "plain", labels=DOCLAYNET)
    predictor = load(folder, threshold=0.0, overlap=1.0)
    found = predictor.predict([picture])[0]
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=[PillowImage.fromarray(picture)], return_tensors="pt")
    with torch.no_grad():
        output = model(**inputs)
    sizes = torch.tensor([picture.shape[:2]])
    (expected,) = processor.post_process_object_detection(output, 0.0, target_sizes=sizes)
    best = int(expected["scores"].argmax())
    assert found[0].score == pytest.approx(float(expected["scores"][best]), abs=2e-3)
    corners = expected["boxes"][best].clamp(0, 500).tolist()
    assert found[0].bbox == pytest.approx(corners, abs=1.0)
    name = model.config.id2label[int(expected["labels"][best])]
    assert found[0].label is labels_of({0: name})[0]


@pytest.mark.parametrize("model_type", ["detr", "table-transformer"])
def test_padding_is_hidden_from_the_model_as_transformers_hides_it(
    model_type, tiny, load, pictures
):
    picture = pictures[3]
    detector = load(model_type)._detector
    height, width = detector.canvas(picture)
    processor = AutoImageProcessor.from_pretrained(tiny(model_type))
    model = AutoModelForObjectDetection.from_pretrained(tiny(model_type)).eval()
    inputs = processor(
        images=[PillowImage.fromarray(picture)],
        pad_size={"height": height, "width": width},
        return_tensors="pt",
    )
    assert inputs["pixel_mask"].float().mean() < 1
    with torch.no_grad():
        scores = model(**inputs).logits.softmax(-1)[0, :, :-1].numpy()
    (found,) = detector.candidates([picture], model_type)
    assert np.abs(found.scores - scores).max() < 1e-5


def test_labels_of_the_known_checkpoints_become_the_eleven_classes():
    plain = labels_of(dict(enumerate(DOCLAYNET)))
    assert plain == tuple(Label(name.lower().replace("-", "_")) for name in DOCLAYNET)
    heron = labels_of(dict(enumerate(HERON)))
    assert heron[:11] == plain
    assert heron[11:] == (Label.TABLE, Label.TEXT, Label.TEXT, Label.TEXT, None, None)


def test_an_unknown_class_is_refused_by_name(tmp_path, load):
    folder = build("detr", tmp_path / "cats", labels=("Text", "cat", "LABEL_7"))
    with pytest.raises(ModelError, match="not known here: cat, LABEL_7"):
        load(folder)


def test_a_region_of_a_dropped_class_does_not_come_back_as_another(tmp_path, load, pictures):
    folder = build("detr", tmp_path / "forms", labels=("Form", "Text"), gain=2.5)
    predictor = load(folder, threshold=0.0, overlap=1.0)
    found = predictor._detector.candidates(pictures, "forms")
    best = np.concatenate([own.scores.argmax(axis=1) for own in found])
    regions = [region for page in predictor.predict(pictures) for region in page]
    assert 0 < len(regions) <= (best > 0).sum() < len(best)


def test_overlapping_regions_of_different_classes_are_one(load, pictures):
    predictor = load("detr", threshold=0.0, overlap=0.5)
    regions = predictor.predict(pictures[:1])[0]
    everything = load("detr", threshold=0.0, overlap=1.0).predict(pictures[:1])[0]
    assert len(regions) < len(everything)
    pairs = [(a, b) for a in regions for b in regions if a is not b]
    assert all(iou(a.bbox, b.bbox) <= 0.5 + 1e-6 for a, b in pairs)


def test_weights_that_are_not_numbers_are_an_error_that_names_the_model(tmp_path, load, pictures):
    folder = build("detr", tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    tensors["class_labels_classifier.weight"][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"broken@.*not numbers"):
        load(folder).predict(pictures[:1])


# Checkpoints as they were published: with a backbone of timm

TIMM = {"backbone": "resnet18", "use_timm_backbone": True, "backbone_config": None}


def test_a_checkpoint_with_a_timm_backbone_loads_without_timm(tmp_path, load, pictures):
    """Rename a checkpoint's tensors to the published names, and load it again."""
    resnet = ResNetConfig(
        layer_type="basic",
        depths=[2, 2, 2, 2],
        hidden_sizes=[64, 128, 256, 512],
        out_features=["stage4"],
    )
    folder = build("table-transformer", tmp_path / "plain", backbone_config=resnet)
    before = load(folder)._detector.candidates(pictures[:2], "plain")
    as_published(folder)
    after = load(folder)._detector.candidates(pictures[:2], "published")
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.boxes, other.boxes)


def as_published(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **TIMM}))
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {published_name(name): tensor for name, tensor in tensors.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )


def published_name(name: str) -> str:
    marker = "backbone.conv_encoder.model."
    head, found, tail = name.partition(marker)
    if not found:
        return name
    if tail.startswith("embedder.embedder."):
        module, field = tail.removeprefix("embedder.embedder.").split(".")
        return f"{head}{marker}{ {'convolution': 'conv1', 'normalization': 'bn1'}[module] }.{field}"
    _, _, stage, _, block, *rest = tail.split(".")
    place = f"layer{int(stage) + 1}.{block}."
    if rest[0] == "shortcut":
        part = {"convolution": "downsample.0", "normalization": "downsample.1"}[rest[1]]
    else:
        kind = {"convolution": "conv", "normalization": "bn"}[rest[2]]
        part = f"{kind}{int(rest[1]) + 1}"
    return f"{head}{marker}{place}{part}.{rest[-1]}"


class TimmBlock(nn.Module):
    """A basic block as He et al. draw it and timm names it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class TimmResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        widths = (64, 64, 128, 256, 512)
        for i, (before, width) in enumerate(pairwise(widths)):
            stride = 1 if i == 0 else 2
            layer = nn.Sequential(TimmBlock(before, width, stride), TimmBlock(width, width, 1))
            self.add_module(f"layer{i + 1}", layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for i in range(4):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return x


def test_the_renamed_backbone_computes_what_the_named_one_does(tmp_path):
    torch.manual_seed(3)
    named = TimmResNet18().eval()
    folder = build("detr", tmp_path / "timm", backbone_config=published_resnet())
    as_published_with(folder, named)
    config = pretrained.load_config(folder)
    model = pretrained.load_model(
        folder,
        AutoModelForObjectDetection,
        config,
        device="cpu",
        dtype="float32",
        attention="auto",
    )
    pixels = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        (features,) = model.model.backbone.model(pixels).feature_maps
        assert torch.allclose(features, named(pixels), atol=1e-4)


def published_resnet() -> ResNetConfig:
    return ResNetConfig(
        layer_type="basic",
        depths=[2, 2, 2, 2],
        hidden_sizes=[64, 128, 256, 512],
        out_features=["stage4"],
    )


def as_published_with(folder: Path, backbone: nn.Module) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **TIMM}))
    tensors = {
        name: tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
        if ".backbone." not in name
    }
    for name, tensor in backbone.state_dict().items():
        tensors[f"model.backbone.conv_encoder.model.{name}"] = tensor.contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def test_a_checkpoint_that_also_segments_loads_as_a_detector(tmp_path, load, pictures):
    folder = build("detr", tmp_path / "segments")
    before = load(folder).predict(pictures[:1])
    tensors = {f"detr.{k}": v for k, v in load_file(folder / "model.safetensors").items()}
    tensors["mask_head.lay1.weight"] = torch.zeros(2)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert load(folder).predict(pictures[:1]) == before


def test_an_unknown_backbone_is_refused_by_name(tmp_path, load):
    folder = build("detr", tmp_path / "backbone")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **TIMM, "backbone": "vit_tiny"}))
    with pytest.raises(ModelError, match=r"'vit_tiny' is not known here; known.*resnet18"):
        load(folder)
