"""cfcore.data: what a network is given: images are normalised, and crops are crops."""

import numpy as np
import pytest
import torch

from cfcore.data import MEAN, STD, Augmenter, normalise
from cfcore.images import Images

# ---- normalising -----------------------------------------------------------------------------------------------


def test_normalising_is_pixel_by_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
    x = normalise(pixels)
    assert x.shape == (2, 3, 3, 5)
    assert x.dtype == torch.float32
    for n, row, column, c in np.ndindex(*pixels.shape):
        expected = (pixels[n, row, column, c] / 255 - MEAN[c]) / STD[c]
        assert x[n, c, row, column].item() == pytest.approx(expected, abs=1e-6)


def test_normalised_images_are_channels_last_in_memory() -> None:
    x = normalise(np.zeros((2, 32, 32, 3), np.uint8))
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(normalise(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)), x)


def test_images_that_may_not_be_written_are_normalised_all_the_same() -> None:
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    pixels.setflags(write=False)
    assert normalise(pixels).shape == (1, 3, 32, 32)


# ---- augmentation ----------------------------------------------------------------------------------------------


def some(count: int = 6) -> Images:
    rng = np.random.default_rng(0)
    return Images(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), np.arange(count) % 10)


def reflected(image: np.ndarray) -> np.ndarray:
    """[32, 32, 3] -> [40, 40, 3], the edge itself not repeated, pixel by pixel."""
    inside = lambda i: abs(i) if i < 32 else 62 - i
    return np.array([[image[inside(r - 4), inside(c - 4)] for c in range(40)] for r in range(40)])


def test_every_crop_is_a_window_of_the_reflected_image_or_its_mirror() -> None:
    images = some()
    index = torch.arange(6).repeat(40)
    batch, labels = Augmenter(images).batch(index, torch.Generator().manual_seed(0))
    assert batch.shape == (240, 3, 32, 32)
    assert batch.dtype == torch.float32
    assert labels.tolist() == images.labels[index.numpy()].tolist()
    windows = {}
    for i in range(6):
        wide = reflected(images.pixels[i])
        for top, left, mirror in np.ndindex(9, 9, 2):
            crop = wide[top : top + 32, left : left + 32]
            windows[(crop[:, ::-1] if mirror else crop).tobytes()] = i, top, left, mirror
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    back = ((batch * std + mean) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    found = [windows[crop.tobytes()] for crop in back]  # a KeyError: that is no window of any image
    assert [f[0] for f in found] == index.tolist()
    for axis in (1, 2):
        assert {f[axis] for f in found} == set(range(9))
    assert 0.35 < np.mean([f[3] for f in found]) < 0.65
    assert len({f[1:] for f in found}) > 80  # the three are drawn apart


def test_crops_are_drawn_by_the_generator_alone() -> None:
    augment, index = Augmenter(some()), torch.arange(6)
    first, again, other = (augment.batch(index, torch.Generator().manual_seed(s))[0] for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(1)
    torch.rand(3)
    assert torch.equal(augment.batch(index, torch.Generator().manual_seed(1))[0], first)
    generator = torch.Generator().manual_seed(1)
    assert not torch.equal(augment.batch(index, generator)[0], augment.batch(index, generator)[0])


def test_augmenting_leaves_the_images_as_they_are() -> None:
    images = some()
    before = images.pixels.copy()
    augment = Augmenter(images)
    padded = augment.padded.clone()
    augment.batch(torch.arange(6), torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(images.pixels, before)
    assert torch.equal(augment.padded, padded)


def test_a_batch_of_one_and_of_repeats() -> None:
    augment = Augmenter(some())
    assert augment.batch(torch.tensor([3]), torch.Generator().manual_seed(0))[0].shape == (1, 3, 32, 32)
    _, labels = augment.batch(torch.tensor([3, 3, 0]), torch.Generator().manual_seed(0))
    assert labels.tolist() == [3, 3, 0]
