"""Images to tensors, as a checkpoint's own image processor makes them, on the model's device.

The processor's settings come from the checkpoint. An accelerator resizes and normalises by itself:
uint8 pixels, a quarter of the bytes, are what is sent there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor
from torch.nn import functional
from transformers.image_transforms import get_size_with_aspect_ratio

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.predictor import Image, ModelError

_FILTERS = ("bilinear", "bicubic")
"""What torch and Pillow call the filters that both have."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How large a model wants an image, and how it wants its values.

    Either ``height`` and ``width`` are given, or the shorter side becomes ``shortest`` unless the
    longer one would exceed ``longest``. ``mean`` and ``std`` are of values 0 to 255.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    filter: str = "bilinear"
    height: int = 0
    width: int = 0
    shortest: int = 0
    longest: int = 0

    @classmethod
    def of(cls, processor: Any) -> Self:
        """What a transformers image processor does. Raises ModelError for a size of another kind.

        A size with a longest edge alone is the longer side's length: the published Table
        Transformer checkpoints have such a size, which transformers' own processor refuses.
        """
        size = processor.size
        height, width = size["height"] or 0, size["width"] or 0
        longest = size["longest_edge"] or 0
        shortest = size["shortest_edge"] or longest
        if not (height and width) and not shortest:
            raise ModelError(
                f"preprocessor_config.json gives a size that is not known here: {size}"
            )
        kernel = PillowImage.Resampling(processor.resample).name.lower()
        if kernel not in _FILTERS:
            raise ModelError(
                f"preprocessor_config.json asks for the filter {kernel}, not {_FILTERS}"
            )
        unit = 255.0 if processor.do_rescale else 1.0
        normalises = processor.do_normalize
        return cls(
            mean=tuple(unit * x for x in processor.image_mean) if normalises else (0.0,) * 3,
            std=tuple(unit * x for x in processor.image_std) if normalises else (unit,) * 3,
            filter=kernel,
            height=height,
            width=width,
            shortest=shortest,
            longest=longest or 10 * shortest,
        )

    def fitted_size(self, image: Image) -> tuple[int, int]:
        """Height and width at which the model sees ``image``, at least 1."""
        if self.height and self.width:
            return self.height, self.width
        height, width = get_size_with_aspect_ratio(image.shape[:2], self.shortest, self.longest)
        return max(1, height), max(1, width)

    def fitted(self, image: Image, device: str) -> Tensor:
        """The image resized and normalised: float32, (3, height, width), on ``device``."""
        size = self.fitted_size(image)
        resized = self.resized_by_pillow if device == CPU else self.resized_by_torch
        pixels = resized(image, size, device)
        mean, std = (
            torch.tensor(values, device=pixels.device)[:, None, None]
            for values in (self.mean, self.std)
        )
        return (pixels - mean) / std

    def resized_by_pillow(self, image: Image, size: tuple[int, int], device: str) -> Tensor:
        """Values 0 to 255, (3, height, width); on a CPU in half the time of torch."""
        height, width = size
        picture = PillowImage.fromarray(np.ascontiguousarray(image))
        resized = picture.resize((width, height), PillowImage.Resampling[self.filter.upper()])
        return uploaded(np.asarray(resized), device).permute(2, 0, 1).float()

    def resized_by_torch(self, image: Image, size: tuple[int, int], device: str) -> Tensor:
        """The same on the device, rows first and then columns, to whole values, as Pillow does.

        One value in forty, at most, comes out 1 or 2 off.
        """
        height, width = size
        pixels = uploaded(image, device).permute(2, 0, 1)[None].float()
        for part in ((image.shape[0], width), (height, width)):
            if pixels.shape[2:] != part:
                pixels = functional.interpolate(pixels, part, mode=self.filter, antialias=True)
                pixels = pixels.round().clamp(0, 255)
        return pixels[0]


def uploaded(image: Image, device: str) -> Tensor:
    """The image's pixels on ``device``; a copy to CUDA does not wait for what runs there."""
    pixels = torch.from_numpy(np.array(image))
    if not device.startswith("cuda"):
        return pixels.to(device)
    return pixels.pin_memory().to(device, non_blocking=True)


def padded(images: Sequence[Tensor], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Images at the upper left of zeros, (n, 3, height, width), and a mask that is 1 on them."""
    pixels = images[0].new_zeros(len(images), 3, height, width)
    mask = torch.zeros(len(images), height, width, dtype=torch.long, device=pixels.device)
    for index, image in enumerate(images):
        rows, columns = image.shape[1:]
        pixels[index, :, :rows, :columns] = image
        mask[index, :rows, :columns] = 1
    return pixels, mask
