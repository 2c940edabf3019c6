"""CIFAR-10 for torch: the shipped images, the training set from a folder or the official archive, and augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pooch
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfcore.errors import DataError
from cfcore.images import CLASSES, Images

MEAN = (0.4914, 0.4822, 0.4465)  # of the training images, by channel, with pixels in [0, 1]
STD = (0.2470, 0.2435, 0.2616)
PAD = 4  # augmentation crops from images extended by this many pixels

ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "md5:c32a1d4ab5d03f1284b67883e8d87530"
RECORD = 1 + 3 * 32 * 32  # bytes: a label, then 1024 red, 1024 green, 1024 blue
RECORDS = 10_000  # in a file


def load_training_set(folder: Path | None = None) -> Images:
    """The 50,000 training images from `folder`, or from the official archive, downloaded once and verified.

    `folder` holds data_batch_1.bin to data_batch_5.bin of the official binary version, itself or in
    cifar-10-batches-bin. Raises DataError.
    """
    folder = _find(folder) if folder else _download()
    return _read([folder / f"data_batch_{i}.bin" for i in range(1, 6)])


def _find(folder: Path) -> Path:
    for place in (folder, folder / "cifar-10-batches-bin"):
        if all((place / f"data_batch_{i}.bin").is_file() for i in range(1, 6)):
            return place
    raise DataError(
        f"No CIFAR-10 in {folder}: it needs data_batch_1.bin to data_batch_5.bin of the official binary version. "
        "Name the folder that holds them, or leave it out to download them."
    )


def _download() -> Path:
    cache = Path(pooch.os_cache("cfcore"))
    try:
        pooch.retrieve(ARCHIVE, ARCHIVE_MD5, processor=pooch.Untar(extract_dir="cifar10"), path=cache)
    except Exception as error:  # whatever the network raised, the user needs one sentence and the way round it
        reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        raise DataError(
            f"CIFAR-10 could not be downloaded to {cache}: {reason}. "
            "Fetch cifar-10-binary.tar.gz from its author's page, unpack it, and name the folder with --data."
        ) from error
    return _find(cache / "cifar10")


def _read(files: list[Path]) -> Images:
    records = []
    for file in files:
        raw = np.fromfile(file, np.uint8)
        if raw.size != RECORDS * RECORD:
            raise DataError(
                f"{file.name} is damaged: it has {raw.size:,} bytes, not {RECORDS:,} records of {RECORD:,}. "
                "Fetch it again."
            )
        records.append(raw.reshape(-1, RECORD))
        if (largest := records[-1][:, 0].max()) >= len(CLASSES):
            raise DataError(f"{file.name} is damaged: it holds the label {largest}, above 9. Fetch it again.")
    table = np.concatenate(records)
    labels = table[:, 0].astype(np.int64)
    return Images(np.ascontiguousarray(table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels)


def normalise(pixels: NDArray[np.uint8] | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """(pixel/255 - mean) / std. uint8 [N, H, W, 3] -> float32 [N, 3, H, W], channels-last in memory."""
    if not isinstance(pixels, Tensor):
        pixels = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))  # torch takes no other memory
    x = pixels.to(device)
    mean = torch.tensor(MEAN, device=device) * 255
    std = torch.tensor(STD, device=device) * 255
    return ((x.float() - mean) / std).permute(0, 3, 1, 2)


class Augmenter:
    """Random crops of the reflected-edge images, mirrored half the time; whole batches at once, on any device."""

    def __init__(self, images: Images, device: torch.device | str = "cpu") -> None:
        edge = ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0))
        self.padded = torch.from_numpy(np.pad(images.pixels, edge, mode="reflect")).to(device)  # [N, 40, 40, 3]
        self.labels = torch.from_numpy(images.labels).to(device)

    def batch(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images `index`, augmented and normalised, and their labels. -> float32 [N, 3, 32, 32], int64 [N]"""
        device, count = self.padded.device, len(index)
        top, left = torch.randint(0, 2 * PAD + 1, (2, count, 1), generator=generator).to(device)
        mirror = torch.randint(0, 2, (count, 1), generator=generator).bool().to(device)
        span = torch.arange(32, device=device)
        rows = top + span  # [N, 32]
        columns = left + torch.where(mirror, span.flip(0), span)
        index = index.to(device)
        crops = self.padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]  # [N, 32, 32, 3]
        return normalise(crops, device), self.labels[index]
