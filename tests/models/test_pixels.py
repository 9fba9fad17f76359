import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from transformers import AutoImageProcessor

from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.shared.preprocessing import Preprocessing, padded

MODELS = ("detr", "rt_detr_v2", "table-transformer", "got_ocr2")


@pytest.mark.parametrize("model_type", MODELS)
def test_a_cpu_sees_what_the_checkpoints_own_processor_makes(model_type, tiny, pictures):
    processor = AutoImageProcessor.from_pretrained(tiny(model_type))
    preprocessing = Preprocessing.of(processor)
    for picture in pictures:
        made = processor(images=[PillowImage.fromarray(picture)], return_tensors="pt")
        ours = preprocessing.fitted(picture, "cpu")
        assert torch.allclose(ours, made["pixel_values"][0], atol=1e-5)


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_a_device_resizes_to_the_same_pixels(kernel, pictures):
    preprocessing = Preprocessing((0.0,) * 3, (1.0,) * 3, kernel, height=96, width=70)
    for picture in pictures:
        pillow = preprocessing.resized_by_pillow(picture, (96, 70), "cpu")
        device = preprocessing.resized_by_torch(picture, (96, 70), "cpu")
        away = (pillow - device).abs()
        assert away.max() <= 2
        assert (away > 0).float().mean() < 0.03


class Processor:
    def __init__(self, **size: int) -> None:
        names = ("height", "width", "shortest_edge", "longest_edge")
        self.size = dict.fromkeys(names) | size
        self.image_mean = self.image_std = [0.5] * 3
        self.do_normalize = self.do_rescale = True
        self.resample = 2


@pytest.mark.parametrize(
    ("size", "shape", "seen"),
    [
        ({"longest_edge": 1000}, (500, 200), (1000, 400)),
        ({"longest_edge": 1000}, (200, 4000), (50, 1000)),
        ({"shortest_edge": 800, "longest_edge": 1333}, (1684, 1190), (1132, 800)),
        ({"shortest_edge": 100}, (200, 300), (100, 150)),
        ({"height": 640, "width": 320}, (10, 10), (640, 320)),
        ({"shortest_edge": 8, "longest_edge": 16}, (1, 4000), (1, 16)),
    ],
)
def test_sizes_of_every_kind(size, shape, seen):
    image = np.zeros((*shape, 3), np.uint8)
    assert Preprocessing.of(Processor(**size)).fitted_size(image) == seen


def test_a_size_of_another_kind_is_refused():
    with pytest.raises(ModelError, match="gives a size that is not known"):
        Preprocessing.of(Processor())


def test_padding_is_masked():
    pixels, mask = padded([torch.ones(3, 2, 3), torch.ones(3, 4, 1)], 4, 5)
    assert pixels.shape == (2, 3, 4, 5)
    assert pixels.sum(dim=(1, 2, 3)).tolist() == [18, 12]
    assert torch.equal(mask, pixels[:, 0].long())
