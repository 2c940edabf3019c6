"""cfcore.data: the shipped images are CIFAR-10's, files from a folder are read or refused, and crops are crops."""

import hashlib
import http.server
import re
import shutil
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cfcore import data
from cfcore.data import (
    CLASSES,
    MEAN,
    STD,
    Augmenter,
    Images,
    load_calibration_set,
    load_test_set,
    load_training_set,
    normalise,
)
from cfcore.errors import DataError

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
    assert images.shape == (500, 32, 32, 3)
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


# ---- the official binary files ---------------------------------------------------------------------------------


def official(folder: Path, count: int = 3, seed: int = 0) -> Images:
    """data_batch_1.bin to data_batch_5.bin of `count` records each, written byte by byte."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (5 * count, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, 5 * count)
    for part in range(5):
        with (folder / f"data_batch_{part + 1}.bin").open("wb") as file:
            for i in range(part * count, (part + 1) * count):
                file.write(bytes([labels[i]]) + b"".join(pixels[i, :, :, c].tobytes() for c in range(3)))
    return Images(pixels, labels)


@pytest.mark.parametrize("below", [".", "cifar-10-batches-bin"])
def test_the_official_layout_is_read(tmp_path: Path, below: str) -> None:
    written = official(tmp_path / below)
    found = load_training_set(tmp_path)
    np.testing.assert_array_equal(found.pixels, written.pixels)
    np.testing.assert_array_equal(found.labels, written.labels)
    assert (found.pixels.dtype, found.labels.dtype) == (np.uint8, np.int64)
    assert found.pixels.flags.c_contiguous


@pytest.mark.parametrize("missing", range(1, 6))
def test_a_folder_that_lacks_a_batch_is_refused(tmp_path: Path, missing: int) -> None:
    official(tmp_path)
    (tmp_path / f"data_batch_{missing}.bin").unlink()
    with pytest.raises(DataError, match=r"^No CIFAR-10 in .*data_batch_1\.bin to data_batch_5\.bin.*Name the folder"):
        load_training_set(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^No CIFAR-10 in"):
        load_training_set(tmp_path / "nowhere")


@pytest.mark.parametrize("size", [0, 1, 3072, 3074, 2 * 3073 - 1])
@pytest.mark.parametrize("part", [1, 4])
def test_files_that_are_not_whole_records_are_refused(tmp_path: Path, size: int, part: int) -> None:
    official(tmp_path)
    (tmp_path / f"data_batch_{part}.bin").write_bytes(bytes(size))
    with pytest.raises(
        DataError, match=rf"^data_batch_{part}\.bin is damaged: {size} bytes are not whole records of 3073"
    ):
        load_training_set(tmp_path)


@pytest.mark.parametrize("part", [1, 3, 5])
def test_a_label_above_nine_is_refused_with_the_file_that_holds_it(tmp_path: Path, part: int) -> None:
    official(tmp_path)
    file = tmp_path / f"data_batch_{part}.bin"
    content = bytearray(file.read_bytes())
    content[3073] = 10
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=rf"^data_batch_{part}\.bin is damaged: it holds the label 10, above 9"):
        load_training_set(tmp_path)


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(data.pooch, "retrieve", offline)
    with pytest.raises(
        DataError, match=r"^CIFAR-10 could not be downloaded \(ConnectionError\)\. Fetch cifar-10-binary"
    ):
        load_training_set()


def test_a_download_is_read_from_where_it_was_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = official(tmp_path / "source")

    def retrieve(*args: object, **kwargs: object) -> None:
        shutil.copytree(tmp_path / "source", tmp_path / "cache" / "cifar10" / "cifar-10-batches-bin")

    monkeypatch.setattr(data.pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setattr(data.pooch, "retrieve", retrieve)
    np.testing.assert_array_equal(load_training_set().pixels, written.pixels)


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


def test_the_official_archive_is_fetched_once_and_verified(tmp_path, monkeypatch):
    """The real path through pooch, from a server on this machine."""
    folder = tmp_path / "site" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for i in range(1, 6):
        (folder / f"data_batch_{i}.bin").write_bytes(bytes([i]) + bytes(3072))
    archive = tmp_path / "site" / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    served = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=archive.parent)

        def log_message(self, *args):
            served.append(args)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{archive.name}"
        monkeypatch.setattr(data, "ARCHIVE", address)
        monkeypatch.setattr(data.pooch, "os_cache", lambda name: tmp_path / "cache" / name)
        monkeypatch.setattr(data, "ARCHIVE_MD5", "md5:" + "0" * 32)
        with pytest.raises(DataError, match=r"could not be downloaded \(ValueError\).*name the folder with --data"):
            load_training_set()
        monkeypatch.setattr(data, "ARCHIVE_MD5", "md5:" + hashlib.md5(archive.read_bytes()).hexdigest())
        for _ in range(2):
            images = load_training_set()
            assert images.labels.tolist() == [1, 2, 3, 4, 5]
        server.shutdown()
    assert len(served) == 2  # once refused, once kept
