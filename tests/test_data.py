"""cfcore.data: the shipped images are CIFAR-10's, and damaged ones are refused."""

import hashlib
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from cfcore import images
from cfcore.errors import DataError
from cfcore.images import CALIBRATION_IMAGES, CLASSES, Images, load_calibration_set, load_test_set

# ---- what is shipped -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def test_set() -> Images:
    return load_test_set()


def test_the_test_set_is_whole(test_set: Images) -> None:
    assert len(test_set) == 10_000
    assert test_set.pixels.shape == (10_000, 32, 32, 3)
    assert (test_set.pixels.dtype, test_set.labels.dtype) == (np.uint8, np.int64)
    assert np.bincount(test_set.labels).tolist() == [1000] * 10


def test_the_first_test_images(test_set: Images) -> None:
    assert [CLASSES[label] for label in test_set.labels[:4]] == ["cat", "ship", "ship", "airplane"]
    means = test_set.pixels.mean((0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.49421428, 0.48513139, 0.45040909], atol=1e-7)


def test_the_test_set_is_the_official_file_to_the_byte(test_set: Images) -> None:
    """Put back into records: a label, then 1024 red, 1024 green, 1024 blue; the checksum is test_batch.bin's."""
    planes = test_set.pixels.transpose(0, 3, 1, 2).reshape(10_000, -1)
    records = np.concatenate([test_set.labels.astype(np.uint8)[:, None], planes], axis=1)
    assert hashlib.md5(records.tobytes(), usedforsecurity=False).hexdigest() == "803d5f7f4d78ea53de84dbe85f74fb6d"


def test_the_calibration_set_is_the_start_of_the_training_set() -> None:
    pixels = load_calibration_set()
    assert pixels.shape == (CALIBRATION_IMAGES, 32, 32, 3)
    assert pixels.dtype == np.uint8
    # of the first 500 records of data_batch_1.bin, in the order of the sheet
    expected = "7d42013e1183fdbff850a9efb98c75ac57d434b1529b537945ed7e357888eca7"
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == expected


def test_no_calibration_image_is_a_test_image(test_set: Images) -> None:
    tested = {image.tobytes() for image in test_set.pixels}
    assert not any(image.tobytes() in tested for image in load_calibration_set())


def test_the_first_of_them(test_set: Images) -> None:
    assert len(test_set.first(7)) == 7
    assert np.array_equal(test_set.first(7).pixels, test_set.pixels[:7])
    assert len(test_set.first(None)) == 10_000


# ---- damaged shipments -----------------------------------------------------------------------------------------


@pytest.fixture
def shipment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The pixels of a small one of the same format, in tmp_path."""
    count = 200
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    sheet = pixels.reshape(-1, 100, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 3200, 3)
    for name in ("cifar10_test.webp", "cifar10_calibration.webp"):
        Image.fromarray(sheet).save(tmp_path / name, lossless=True)
    np.save(tmp_path / "cifar10_test_labels.npy", np.arange(count, dtype=np.uint8) % 10)
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in tmp_path.iterdir()}
    monkeypatch.setattr(images, "SHA256", sums)
    return pixels


def test_a_sheet_holds_a_hundred_images_a_row(tmp_path: Path, shipment: np.ndarray) -> None:
    np.testing.assert_array_equal(load_test_set(tmp_path).pixels, shipment)
    np.testing.assert_array_equal(load_calibration_set(tmp_path), shipment)
    assert load_test_set(tmp_path).labels.tolist() == [i % 10 for i in range(200)]


@pytest.mark.parametrize("missing", ["cifar10_test.webp", "cifar10_test_labels.npy"])
def test_a_missing_file_is_named(tmp_path: Path, shipment: np.ndarray, missing: str) -> None:
    (tmp_path / missing).unlink()
    with pytest.raises(
        DataError, match=rf"^There is no {re.escape(missing)} in [\w-]+/\. Restore it from the project\.$"
    ):
        load_test_set(tmp_path)


def one_bit_turned(content: bytes) -> bytes:
    """A lossless picture is read all the same."""
    turned = bytearray(content)
    turned[len(turned) // 2] ^= 1
    return bytes(turned)


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "noise": lambda content: b"noise" * 100,
    "a bit": one_bit_turned,
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", ["cifar10_test.webp", "cifar10_test_labels.npy"])
def test_a_damaged_file_is_named(tmp_path: Path, shipment: np.ndarray, name: str, how: str) -> None:
    (tmp_path / name).write_bytes(DAMAGE[how]((tmp_path / name).read_bytes()))
    with pytest.raises(DataError, match=name):
        load_test_set(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, shipment: np.ndarray) -> None:
    refusal = mock.patch.object(Path, "read_bytes", side_effect=PermissionError(13, "Permission denied"))
    with refusal, pytest.raises(DataError, match=r"npy in .* cannot be read: Permission"):
        load_test_set(tmp_path)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_calibration_set_is_named(tmp_path: Path, shipment: np.ndarray, how: str) -> None:
    file = tmp_path / "cifar10_calibration.webp"
    file.write_bytes(DAMAGE[how](file.read_bytes()))
    with pytest.raises(DataError, match=r"cifar10_calibration\.webp"):
        load_calibration_set(tmp_path)
