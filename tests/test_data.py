"""cfcore.data: the shipped images are CIFAR-10's, and damaged ones are refused."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    images = load_calibration_set()
    assert images.shape == (CALIBRATION_IMAGES, 32, 32, 3)
    assert images.dtype == np.uint8
    # of the first 500 records of data_batch_1.bin, in the order of the sheet
    expected = "7d42013e1183fdbff850a9efb98c75ac57d434b1529b537945ed7e357888eca7"
    assert hashlib.sha256(images.tobytes()).hexdigest() == expected


def test_no_calibration_image_is_a_test_image(test_set: Images) -> None:
    tested = {image.tobytes() for image in test_set.pixels}
    assert not any(image.tobytes() in tested for image in load_calibration_set())


def test_the_first_of_them(test_set: Images) -> None:
    assert len(test_set.first(7)) == 7
    assert np.array_equal(test_set.first(7).pixels, test_set.pixels[:7])
    assert len(test_set.first(None)) == 10_000


# ---- damaged shipments -----------------------------------------------------------------------------------------


def shipment(folder: Path, count: int = 200) -> np.ndarray:
    """A small one of the same format."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    sheet = pixels.reshape(-1, 100, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 3200, 3)
    for name in ("cifar10_test.webp", "cifar10_calibration.webp"):
        Image.fromarray(sheet).save(folder / name, lossless=True)
    np.save(folder / "cifar10_test_labels.npy", np.arange(count, dtype=np.uint8) % 10)
    return pixels


def test_a_sheet_holds_a_hundred_images_a_row(tmp_path: Path) -> None:
    pixels = shipment(tmp_path)
    np.testing.assert_array_equal(load_test_set(tmp_path).pixels, pixels)
    np.testing.assert_array_equal(load_calibration_set(tmp_path), pixels)
    assert load_test_set(tmp_path).labels.tolist() == [i % 10 for i in range(200)]


@pytest.mark.parametrize("missing", ["cifar10_test.webp", "cifar10_test_labels.npy"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    shipment(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(
        DataError, match=rf"^There is no {re.escape(missing)} in [\w-]+/\. Restore it from the project\.$"
    ):
        load_test_set(tmp_path)


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "noise": b"noise" * 100}[how])


@pytest.mark.parametrize("how", ["empty", "cut", "noise"])
@pytest.mark.parametrize("name", ["cifar10_test.webp", "cifar10_test_labels.npy"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, how: str) -> None:
    shipment(tmp_path)
    damage(tmp_path / name, how)
    with pytest.raises(DataError, match=name):
        load_test_set(tmp_path)


@pytest.mark.parametrize(
    "header", ["{'descr': '<i8', 'fortran_order': False, 'shape': (100000000000000,)}", "{'descr': '<i8', (((("]
)
def test_labels_with_a_header_of_nonsense_are_damaged(tmp_path: Path, header: str) -> None:
    shipment(tmp_path)
    text = header.ljust(117).encode() + b"\n"
    (tmp_path / "cifar10_test_labels.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(DataError, match=r"cifar10_test_labels\.npy"):
        load_test_set(tmp_path)


def test_labels_that_are_no_whole_numbers_are_damaged(tmp_path: Path) -> None:
    shipment(tmp_path)
    file = tmp_path / "cifar10_test_labels.npy"
    np.save(file, np.full(200, 0.5))
    with pytest.raises(DataError, match=file.name):
        load_test_set(tmp_path)
    with file.open("wb") as archive:
        np.savez(archive, labels=np.zeros(200, np.int64))
    with pytest.raises(DataError, match=file.name):
        load_test_set(tmp_path)


@pytest.mark.parametrize("how", ["empty", "cut", "noise"])
def test_a_damaged_calibration_set_is_named(tmp_path: Path, how: str) -> None:
    shipment(tmp_path)
    damage(tmp_path / "cifar10_calibration.webp", how)
    with pytest.raises(DataError, match=r"cifar10_calibration\.webp"):
        load_calibration_set(tmp_path)


def test_a_sheet_of_another_size_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (3200, 33)).save(tmp_path / "cifar10_calibration.webp", lossless=True)
    with pytest.raises(DataError, match=r"cifar10_calibration\.webp"):
        load_calibration_set(tmp_path)


def test_images_without_a_label_each_are_refused(tmp_path: Path) -> None:
    shipment(tmp_path)
    np.save(tmp_path / "cifar10_test_labels.npy", np.zeros(199, np.uint8))
    with pytest.raises(DataError):
        load_test_set(tmp_path)
