"""The shipped CIFAR-10 images, without torch: the test set, and the first 500 training images."""

from __future__ import annotations

import tokenize
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cfcore.errors import DataError
from cfcore.manifest import PRETRAINED

CALIBRATION_IMAGES = 500
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Images:
    """pixels uint8 [N, 32, 32, 3], labels int64 [N]. Raises DataError for anything else."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        check_pixels(self.pixels)
        labels = np.asarray(self.labels)
        if labels.shape != self.pixels.shape[:1] or labels.dtype.kind not in "iu":
            raise DataError(
                f"Labels {list(labels.shape)} of type {labels.dtype} do not belong to {len(self.pixels)} images. "
                "Give whole numbers [N]."
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
            raise DataError(f"The labels go from {labels.min()} to {labels.max()}. Give 0 to {len(CLASSES) - 1}.")

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int | None) -> Images:
        """So many of them, or all. Raises DataError for a negative number."""
        if count is not None and count < 0:
            raise DataError(f"There are no first {count} images. Use 0 or more.")
        return Images(self.pixels[:count], self.labels[:count])


def check_pixels(pixels: NDArray[np.uint8]) -> None:
    """Refuse, with a DataError, all but uint8 [N, 32, 32, 3]."""
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (32, 32, 3):
        raise DataError(
            f"Pixels {list(pixels.shape)} of type {pixels.dtype} are no images of CIFAR-10's form. "
            "Give uint8 [N, 32, 32, 3]."
        )


def load_test_set(folder: Path = PRETRAINED) -> Images:
    """All 10,000 test images in the dataset's own order, as shipped."""
    labels = folder / "cifar10_test_labels.npy"
    pixels = _sheet(folder / "cifar10_test.webp")
    if not labels.is_file():
        raise DataError(f"There is no {labels.name} in {folder.name}/. Restore it from the project.")
    try:
        numbers = np.load(labels)
    except (OSError, EOFError, ValueError, SyntaxError, MemoryError, tokenize.TokenError) as error:  # of the header
        raise _damaged(labels) from error
    if not isinstance(numbers, np.ndarray) or numbers.dtype.kind not in "iu":
        raise _damaged(labels)
    numbers = numbers.astype(np.int64)
    if numbers.shape != (len(pixels),) or not ((numbers >= 0) & (numbers < len(CLASSES))).all():
        raise _damaged(labels)
    return Images(pixels, numbers)


def load_calibration_set(folder: Path = PRETRAINED) -> NDArray[np.uint8]:
    """The first training images, as shipped: post-training quantization looks at no test image. [500, 32, 32, 3]"""
    return _sheet(folder / "cifar10_calibration.webp")


def _sheet(file: Path) -> NDArray[np.uint8]:
    """A lossless sheet of 32x32 images, 100 to a row -> [N, 32, 32, 3]"""
    if not file.is_file():
        raise DataError(f"There is no {file.name} in {file.parent.name}/. Restore it from the project.")
    try:
        with Image.open(file) as image:
            sheet = np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what PIL raises for damage
        raise _damaged(file) from error
    if sheet.shape[0] % 32 or sheet.shape[1] != 3200:
        raise _damaged(file)
    images = sheet.reshape(-1, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)
    return np.ascontiguousarray(images)


def _damaged(file: Path) -> DataError:
    return DataError(f"{file.name} in {file.parent.name}/ is damaged. Restore it from the project.")
