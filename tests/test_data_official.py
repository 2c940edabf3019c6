"""cfcore.data: the official files of CIFAR-10 are read, fetched or refused."""

import hashlib
import http.server
import shutil
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from cfcore import data
from cfcore.data import load_training_set
from cfcore.errors import DataError
from cfcore.images import Images


@pytest.fixture(autouse=True)
def _few_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "RECORDS", 3)


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


@pytest.mark.parametrize("size", [0, 1, 3073, 3 * 3073 - 1, 3 * 3073 + 1, 4 * 3073])
@pytest.mark.parametrize("part", [1, 4])
def test_files_of_another_size_are_refused(tmp_path: Path, size: int, part: int) -> None:
    official(tmp_path)
    (tmp_path / f"data_batch_{part}.bin").write_bytes(bytes(size))
    said = rf"^data_batch_{part}\.bin is damaged: it has {size:,} bytes, not 3 records of 3,073"
    with pytest.raises(DataError, match=said):
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


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("no network"), "ConnectionError"),
        (OSError(30, "Read-only files"), "Read-only files"),
    ],
)
def test_a_failed_download_says_what_to_do(
    error: OSError, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(data.pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(data.pooch, "retrieve", fail)
    with pytest.raises(DataError) as said:
        load_training_set()
    start = f"CIFAR-10 could not be downloaded to {tmp_path / 'cfcore'}: {reason}. Fetch cifar-10-binary"
    assert str(said.value).startswith(start)


def test_a_download_is_read_from_where_it_was_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = official(tmp_path / "source")

    def retrieve(*args: object, **kwargs: object) -> None:
        shutil.copytree(tmp_path / "source", tmp_path / "cache" / "cifar10" / "cifar-10-batches-bin")

    monkeypatch.setattr(data.pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setattr(data.pooch, "retrieve", retrieve)
    np.testing.assert_array_equal(load_training_set().pixels, written.pixels)


def test_the_official_archive_is_fetched_once_and_verified(tmp_path, monkeypatch):
    """The real path through pooch, from a server on this machine."""
    folder = tmp_path / "site" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for i in range(1, 6):
        (folder / f"data_batch_{i}.bin").write_bytes(3 * (bytes([i]) + bytes(3072)))
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
        with pytest.raises(DataError, match=r"could not be downloaded to .*: ValueError.*name the folder with --data"):
            load_training_set()
        monkeypatch.setattr(data, "ARCHIVE_MD5", "md5:" + hashlib.md5(archive.read_bytes()).hexdigest())
        for _ in range(2):
            images = load_training_set()
            assert images.labels.tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]
        server.shutdown()
    assert len(served) == 2  # once refused, once kept
