"""cfcore.checkpoint and a stranger's file: whatever is wrong with it, it is refused in a sentence."""

import json
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_foreign
from test_checkpoint import GOLDEN_SETTINGS, golden_bytes, packed

from cfcore import checkpoint as disk
from cfcore.checkpoint import load, parse, save
from cfcore.errors import CheckpointError

# ---- hostile files ---------------------------------------------------------------------------------------------


def join(header: dict[str, Any] | str | bytes, body: bytes) -> bytes:
    if isinstance(header, dict):
        header = json.dumps(header)
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + body


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    end = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:end]), content[end:]


@pytest.fixture(scope="module")
def good() -> bytes:
    """A stored network with every kind of tensor in it."""
    return golden_bytes()


def refused(content: bytes) -> str:
    """The one line, of a length that a screen can show, that refuses these bytes. Anything else raised is a bug."""
    with pytest.raises(CheckpointError) as error:
        parse(content, "net.safetensors")
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert len(text) < 600
    return text


def edited(content: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    header, body = split(content)
    edit(header)
    return join(header, body)


def with_metadata(content: bytes, **metadata: Any) -> bytes:
    return edited(content, lambda header: header["__metadata__"].update(metadata))


def with_values(content: bytes, tensor: str, place: int, values: bytes) -> bytes:
    header, body = split(content)
    at = header[tensor]["data_offsets"][0] + place
    return join(header, body[:at] + values + body[at + len(values) :])


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
    with pytest.raises(CheckpointError):
        load(tmp_path / "a.safetensors")
    torch.save({"a": torch.ones(3)}, tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError):
        load(tmp_path / "b.safetensors")
    assert not (tmp_path / "ran").exists()


# ---- hostile configurations


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"weight_bits": 9}, "weight_bits = 9"),
        ({"weight_bits": 0}, "weight_bits = 0"),
        ({"weight_bits": True}, "weight_bits = True"),
        ({"weight_bits": 1.0}, "weight_bits = 1.0"),
        ({"weight_bits": [1]}, "weight_bits"),
        ({"weight_bits": 32}, "weight_bits = 32"),
        ({"activation_bits": "3"}, "activation_bits = '3'"),
        ({"activation_bits": None}, "activation_bits = None"),
        ({"model": "resnet18"}, "model = 'resnet18'"),
        ({"model": ["resnet20"]}, "model"),
        ({"model": {"resnet20": 1}}, "model"),
        ({"model": "../../etc/passwd"}, "model"),
        ({"method": "float"}, "weight_bits"),
        ({"method": "none"}, "method = 'none'"),
        ({"order": "random"}, "order = 'random'"),
        ({"source": ""}, "source = ''"),
        ({"width": float("nan")}, "width = nan"),
        ({"width": float("inf")}, "width = inf"),
        ({"width": -1}, "width = -1"),
        ({"width": 0}, "width = 0"),
        ({"width": 1e300}, "width"),
        ({"width": "1"}, "width = '1'"),
        ({"width": True}, "width = True"),
        ({"width": 0.3}, "width = 0.3"),
        ({"width": 0.1}, "width = 0.1"),
        ({"group_size": 0}, "group_size = 0"),
        ({"group_size": -5}, "group_size = -5"),
        ({"group_size": 5}, "group_size = 5"),
        ({"group_size": 10**18}, "group_size"),
        ({"group_size": "16"}, "group_size = '16'"),
        ({"group_size": 2.0}, "group_size = 2.0"),
        ({"group_size": None}, "group_size = None"),
        ({"group_size": ["layer"]}, "group_size"),
        ({"input_scale": 1}, "input_scale = 1"),
        ({"input_scale": "false"}, "input_scale"),
        ({"backdoor": 1}, "setting = 'backdoor'"),
        ({"self": 1}, ""),
        ({"cls": 1}, ""),
        ({"__class__": "Configuration"}, ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_configuration_that_is_not_allowed_is_refused(good: bytes, change: dict[str, Any], names: str) -> None:
    text = json.dumps({**GOLDEN_SETTINGS, **change})
    message = refused(with_metadata(good, configuration=text))
    assert message.startswith("net.safetensors states no valid configuration")
    assert names in message


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "[1]", "3", '"resnet20"', "{}}", '{"width": ' + "1" * 5000 + "}", "[" * 100_000]
    + ['{"model":' + "[" * depth + "]" * depth + "}" for depth in (100, 400, 900, 960, 990, 5000)],
    ids=lambda text: f"{text[:12]}-{len(text)}",
)
def test_a_configuration_that_cannot_be_read_is_refused(good: bytes, text: str) -> None:
    refused(with_metadata(good, configuration=text))


@pytest.mark.parametrize("value", [None, 3, [], {}, True, ["{}"]])
@pytest.mark.parametrize("key", ["configuration", "origin", "format", "other"])
def test_metadata_that_is_no_text_is_refused(good: bytes, key: str, value: Any) -> None:
    refused(with_metadata(good, **{key: value}))


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"a":' * 50_000, '{"a": 1e999}', '{"a": [-1e999]}', '{"a": NaN}'], ids=range(7)
)
def test_an_origin_that_cannot_be_read_is_refused(good: bytes, text: str) -> None:
    refused(with_metadata(good, origin=text))


@pytest.mark.parametrize("change", [{"model": "x" * 100_000}, {"y" * 100_000: 1}, {"group_size": 10**3000}], ids="mky")
def test_the_refusal_of_a_long_value_is_short(good: bytes, change: dict[str, Any]) -> None:
    refused(with_metadata(good, configuration=json.dumps({**GOLDEN_SETTINGS, **change})))


def test_the_tensors_of_another_configuration_are_refused(good: bytes) -> None:
    for change in ({"weight_bits": 3}, {"group_size": 1}, {"order": "index"}, {"activation_bits": 1}, {"width": 0.125}):
        refused(with_metadata(good, configuration=json.dumps({**GOLDEN_SETTINGS, **change})))
    for change in ({"model": "vgg_small"}, {"model": "resnet32"}):
        refused(with_metadata(good, configuration=json.dumps({**GOLDEN_SETTINGS, **change})))


# ---- hostile tables of tensors


def test_a_missing_tensor_is_named(good: bytes) -> None:
    for name in split(good)[0]:
        if name != "__metadata__":
            message = refused(edited(good, lambda header, name=name: header.pop(name)))  # type: ignore[misc]
            assert f"lacks tensor {name!r}" in message


@pytest.mark.parametrize(
    "name", ["convs.19.planes", "", "head.weight ", "__metadata", "\ud800", "\n\x1b[31m", "x" * 10_000]
)
def test_an_unknown_tensor_is_refused(good: bytes, name: str) -> None:
    entry = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    refused(edited(good, lambda header: header.update({name: entry})))


@pytest.mark.parametrize(
    "entry", [None, 3, [], "F32", {}, {"dtype": "F32"}, {"shape": [10]}, {"dtype": [], "shape": {}}]
)
def test_a_tensor_that_is_no_table_is_refused(good: bytes, entry: Any) -> None:
    refused(edited(good, lambda header: header.update({"head.bias": entry})))


@pytest.mark.parametrize("dtype", ["F64", "F16", "BF16", "I32", "U8", "BOOL", "F8_E4M3", "f32", "", None, 32, ["F32"]])
def test_another_type_is_refused(good: bytes, dtype: Any) -> None:
    refused(edited(good, lambda header: header["head.bias"].update(dtype=dtype)))


@pytest.mark.parametrize(
    "shape",
    [[], [9], [11], [1, 10], [10, 1], [-10], [2**63], [2**64], [10.5], ["10"], None, 10, "10", [None], [[10]], [10.0]],
    ids=str,
)
def test_another_shape_is_refused(good: bytes, shape: Any) -> None:
    refused(edited(good, lambda header: header["head.bias"].update(shape=shape)))


@pytest.mark.parametrize("field", ["dtype", "shape", "data_offsets"])
@pytest.mark.parametrize("depth", [100, 480, 900, 960, 5000])
def test_a_nested_bomb_inside_a_tensors_entry_is_refused(good: bytes, field: str, depth: int) -> None:
    """Deep enough to stop a parser, or just too deep for whoever would print it."""
    header, body = split(good)
    header["head.bias"].pop(field, None)
    text = json.dumps(header).replace(
        '"head.bias": {', f'"head.bias": {{"{field}": ' + "[" * depth + "]" * depth + ", "
    )
    refused(join(text, body))


@pytest.mark.parametrize(
    "offsets",
    [[0, 40], [40, 0], [-40, 0], [0, 0], [2**63, 2**63 + 40], [2**64, 2**64 + 40], [10**9, 10**9 + 40], [1], [], None],
    ids=str,
)
def test_offsets_that_overlap_or_lead_outside_are_refused(good: bytes, offsets: Any) -> None:
    refused(edited(good, lambda header: header["head.bias"].update(data_offsets=offsets)))


def test_two_tensors_in_one_place_are_refused(good: bytes) -> None:
    refused(edited(good, lambda h: h["norms.1.shift"].update(data_offsets=h["norms.0.shift"]["data_offsets"])))


def test_a_hole_between_tensors_is_refused(good: bytes) -> None:
    header, body = split(good)
    at = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    last = next(e for n, e in header.items() if n != "__metadata__" and e["data_offsets"][1] == at)
    begin = last["data_offsets"][0]
    last["data_offsets"] = [begin + 8, at + 8]
    refused(join(header, body[:begin] + b"\0" * 8 + body[begin:]))


@pytest.mark.parametrize("key", ["head.bias", "__metadata__", "format", "dtype", "configuration"])
def test_a_key_that_is_there_twice_is_refused(good: bytes, key: str) -> None:
    """Two readers could take either one."""
    header, body = split(good)
    text = json.dumps(header)
    value = header.get(key) or header["__metadata__"].get(key) or "F32"
    twice = text.replace(f'"{key}": ', f'"{key}": {json.dumps(value)}, "{key}": ', 1)
    assert twice != text
    refused(join(twice, body))


# ---- hostile values


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("tensor", ["convs.0.weight", "convs.5.scales", "convs.5.step", "norms.0.shift", "head.bias"])
def test_numbers_that_are_not_finite_are_refused(good: bytes, tensor: str, value: float) -> None:
    message = refused(with_values(good, tensor, 0, struct.pack("<f", value)))
    assert repr(tensor) in message
    assert "not finite" in message


@pytest.mark.parametrize("value", [0.0, -0.0, -1e-30, -1.0])
@pytest.mark.parametrize("tensor", ["convs.18.scales", "convs.5.scales", "convs.5.step"])
def test_factors_that_are_not_above_zero_are_refused(good: bytes, tensor: str, value: float) -> None:
    message = refused(with_values(good, tensor, 0, struct.pack("<f", value)))
    assert repr(tensor) in message
    assert "not above 0" in message


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
    with pytest.raises(CheckpointError):
        load(tmp_path / "a")
