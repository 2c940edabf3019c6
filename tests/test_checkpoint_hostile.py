"""cfcore.checkpoint and a stranger's file: whatever is wrong with it, it is refused in a sentence."""

import json
import os
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import edited, join, refused, split, with_values
from safetensors.numpy import save as save_foreign
from test_checkpoint import golden_bytes, packed

from cfcore import checkpoint as disk
from cfcore.checkpoint import load, parse, save
from cfcore.errors import CheckpointError


@pytest.fixture(scope="module")
def good() -> bytes:
    """A stored network with every kind of tensor in it."""
    return golden_bytes()


# ---- hostile files ---------------------------------------------------------------------------------------------


def test_the_untouched_file_is_accepted(good: bytes) -> None:
    parse(good)
    parse(edited(good, lambda header: None))
    parse(join(json.dumps(split(good)[0]) + "     ", split(good)[1]))


@pytest.mark.parametrize("content", [b"", b"\0", b"\0" * 8, b"\0" * 100, b"\xff" * 8, b"\xff" * 100, b"a" * 5000])
def test_noise_is_refused(content: bytes) -> None:
    assert refused(content).startswith("net.safetensors is not a safetensors file")


def test_every_truncation_is_refused(good: bytes) -> None:
    end = disk.header_size(good)
    cuts = {*range(20), end - 1, end, end + 1, len(good) - 1, *range(0, end, 97), *range(end, len(good), 53)}
    for cut in sorted(cuts - {len(good)}):
        refused(good[:cut])


def test_bytes_after_the_end_are_refused(good: bytes) -> None:
    refused(good + b"\0")
    refused(good + good)


@pytest.mark.parametrize("length", [0, 1, 7, 2**20, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 9, 2**64 - 1])
def test_a_lie_about_the_headers_length_is_refused(good: bytes, length: int) -> None:
    refused(struct.pack("<Q", length) + good[8:])


def test_a_flipped_bit_is_refused_or_gives_a_network_of_the_same_shape(good: bytes) -> None:
    """Anywhere: whatever comes out is either a CheckpointError or passes every check."""
    rng = random.Random(0)
    for _ in range(400):
        at = rng.choice([rng.randrange(8), rng.randrange(disk.header_size(good)), rng.randrange(len(good))])
        flipped = bytearray(good)
        flipped[at] ^= 1 << rng.randrange(8)
        try:
            survivor = parse(bytes(flipped))
        except CheckpointError:
            continue
        assert survivor.tensors.keys() == disk.layout(survivor.configuration).keys()


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"text"',
        b"{}",
        b"\xff\xfe\xfd",
        b"\0\0\0\0",
        b"{'a': 1}",
        b'{"__metadata__": null}',
        b'{"__metadata__": []}',
        b'{"__metadata__": {"format": "cfcore-2"}}',
        b'{"__metadata__": {"format": "cfcore-1"}}',
        b'{"__metadata__": {"format": ["cfcore-1"]}}',
        b'{"__metadata__": {"format": "pt"}, "a": 3}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[" * 50_000 + b"]" * 50_000,
    ],
    ids=range(19),
)
def test_other_headers_are_refused(good: bytes, header: bytes) -> None:
    refused(join(header, split(good)[1]))
    refused(join(header, b""))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_header_in_another_encoding_is_refused(good: bytes, encoding: str) -> None:
    header, body = split(good)
    refused(join(json.dumps(header).encode(encoding), body))


def test_a_foreign_safetensors_file_is_refused() -> None:
    tensors = {"weight": np.ones((2, 3), np.float32)}
    for metadata in (None, {"format": "pt"}, {"format": "cfcore-0"}):
        expected = 'net.safetensors is not a checkpoint of this project: its format is not "cfcore-1".'
        assert refused(save_foreign(tensors, metadata)) == expected


@pytest.mark.parametrize("missing", ["format", "configuration"])
def test_metadata_that_lacks_something_is_refused(good: bytes, missing: str) -> None:
    refused(edited(good, lambda header: header["__metadata__"].pop(missing)))


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    refused(pickle.dumps(Bomb()))
    (tmp_path / "a.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load(tmp_path / "a.safetensors")
    torch.save({"a": torch.ones(3)}, tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load(tmp_path / "b.safetensors")
    assert not (tmp_path / "ran").exists()


# ---- hostile values


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("tensor", ["convs.0.weight", "convs.5.scales", "convs.5.step", "norms.0.shift", "head.bias"])
def test_numbers_that_are_not_finite_are_refused(good: bytes, tensor: str, value: float) -> None:
    message = refused(with_values(good, tensor, 0, struct.pack("<f", value)))
    assert repr(tensor) in message
    assert "not finite" in message


@pytest.mark.parametrize("value", [0.0, -0.0, -1e-30, -1.0])
@pytest.mark.parametrize("tensor", ["convs.18.scales", "convs.5.scales"])
def test_factors_that_are_not_above_zero_are_refused(good: bytes, tensor: str, value: float) -> None:
    message = refused(with_values(good, tensor, 0, struct.pack("<f", value)))
    assert repr(tensor) in message
    assert "not above 0" in message


@pytest.mark.parametrize("value", [0.0, -0.0, -1e-30, -1.0, 1e-8, 0.99e-6])
def test_a_step_that_the_simulation_would_not_take_is_refused(good: bytes, value: float) -> None:
    """It clamps them, and packed bits would not: two accuracies of one file."""
    message = refused(with_values(good, "convs.5.step", 0, struct.pack("<f", value)))
    assert "'convs.5.step' holds a step below 1e-06" in message
    parse(with_values(good, "convs.5.step", 0, struct.pack("<f", 1e-6)))


def test_a_negative_variance_is_refused(tmp_path: Path) -> None:
    """Its root would be no number, and every prediction the first class."""
    save(packed(method="float"), tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    parse(with_values(content, "norms.3.running_var", 0, struct.pack("<f", 0.0)))
    refused(with_values(content, "norms.3.running_var", 0, struct.pack("<f", -1.0)))


def test_bits_behind_the_last_weight_are_refused(good: bytes) -> None:
    tensor = "convs.1.planes"  # [2, 1, 2]: 9 weights in 16 bits
    assert split(good)[0][tensor]["shape"] == [2, 1, 2]
    for bit in range(1, 8):
        refused(with_values(good, tensor, 3, bytes([1 << bit])))
    parse(with_values(good, tensor, 3, b"\x01"))


@pytest.mark.parametrize(
    "groups", [(0, 0, 0, 0), (1, 1, 1, 0), (0, 1, 2, 2), (0, 0, 1, 2), (65535, 0, 0, 1), (2, 2, 3, 3)]
)
def test_groups_of_another_size_are_refused(good: bytes, groups: tuple[int, ...]) -> None:
    message = refused(with_values(good, "convs.15.group_of", 0, struct.pack("<4H", *groups)))
    assert "'convs.15.group_of' does not make groups of 2" in message


@pytest.mark.parametrize("groups", [(0, 0, 1, 1), (1, 1, 0, 0), (0, 1, 0, 1)])
def test_any_groups_of_the_right_size_are_accepted(good: bytes, groups: tuple[int, ...]) -> None:
    changed = parse(with_values(good, "convs.15.group_of", 0, struct.pack("<4H", *groups)))
    assert changed.group_of(changed.architecture.convs[15]).tolist() == list(groups)


# ---- hostile places --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["missing", "folder", "file/below", "x" * 300, "a\0b"], ids=lambda n: n[:8])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"^There is no checkpoint .*`cfcore models` lists"):
        load(tmp_path / name)


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**40)  # sparse
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("it was read"))
    with pytest.raises(CheckpointError, match="has more than 64 MiB"):
        load(tmp_path / "a")


def test_a_huge_upload_is_refused(good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LARGEST_FILE", len(good) - 1)
    assert "so it is not one of ours" in refused(good)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1")

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(CheckpointError, match=r"^a cannot be read: Permission denied\. Check its permissions\."):
        load(tmp_path / "a")
