"""The shipped CIFAR-10 images, without torch: the test set, and the first 500 training images."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cfcore.errors import DataError
from cfcore.manifest import PRETRAINED

CALIBRATION_IMAGES = 500
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHA256 = {
    "cifar10_calibration.webp": "fd471978f9e6646c27514979b81d1d1bbf279697a6135fb0323d7aa82ed994fe",
    "cifar10_test.webp": "1925251749113162ebc2866d7e46840a66fa4573713aa743599fd9d0370e7362",
    "cifar10_test_labels.npy": "19004b019bd095265b4ce6637c9ff979c66abcbc8e658a665f791b487cdea5eb",
}


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
    """All 10,000 test images in the dataset's own order, as shipped. Raises DataError."""
    labels = np.load(_shipped(folder / "cifar10_test_labels.npy"))
    return Images(_sheet(folder / "cifar10_test.webp"), labels.astype(np.int64))


def load_calibration_set(folder: Path = PRETRAINED) -> NDArray[np.uint8]:
    """The first training images, as shipped: post-training quantization looks at no test image. [500, 32, 32, 3]

    Raises DataError.
    """
    return _sheet(folder / "cifar10_calibration.webp")


def _sheet(file: Path) -> NDArray[np.uint8]:
    """A lossless sheet of 32x32 images, 100 to a row -> [N, 32, 32, 3]"""
    with Image.open(_shipped(file)) as image:
        sheet = np.array(image.convert("RGB"))
    images = sheet.reshape(-1, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)
    return np.ascontiguousarray(images)


def _shipped(file: Path) -> io.BytesIO:
    """What a file holds, once its checksum is right: a wrong pixel would be a wrong accuracy."""
    if not file.is_file():
        raise DataError(f"There is no {file.name} in {file.parent.name}/. Restore it from the project.")
    name = f"{file.name} in {file.parent.name}/"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}. Check its permissions.") from error
    if hashlib.sha256(content).hexdigest() != SHA256[file.name]:
        raise DataError(f"{name} is damaged: its sha256 differs. Restore it from the project.")
    return io.BytesIO(content)
