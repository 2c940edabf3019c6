"""cfcore.checkpoint: what is stored comes back, the bytes stay what they were, and a stranger's file is refused."""

import itertools
import json
import os
import pickle
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_foreign

from cfcore import checkpoint as disk
from cfcore.checkpoint import Checkpoint, load, parse, save
from cfcore.config import Configuration
from cfcore.errors import CheckpointError
from cfcore.export import pack_network
from cfcore.models import Network

GOLDEN = Path(__file__).parent / "golden" / "resnet20-x0.0625-xnor-w2a3-m2-sorted.safetensors"


def packed(seed: int = 0, **settings: Any) -> Checkpoint:
    """A random network, quantized and folded, with no two numbers alike."""
    torch.manual_seed(seed)
    network = Network(Configuration.of(**{"width": 0.0625, "group_size": 1, **settings})).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, values in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
    for name, parameter in network.named_parameters():
        if name.endswith("step"):
            parameter.data.copy_(torch.rand((), generator=generator) + 0.1)
    return pack_network(network, {"seed": seed})


def same(a: Checkpoint, b: Checkpoint) -> None:
    assert a.configuration == b.configuration
    assert a.origin == b.origin
    assert a.tensors.keys() == b.tensors.keys()
    for name, values in a.tensors.items():
        assert values.dtype == b.tensors[name].dtype, name
        np.testing.assert_array_equal(values, b.tensors[name], err_msg=name, strict=True)


# ---- what is stored comes back ---------------------------------------------------------------------------------


def configurations() -> Iterator[dict[str, Any]]:
    for model, width in (("resnet20", 0.1875), ("resnet32", 0.0625), ("vgg_small", 0.0625)):
        yield {"model": model, "width": width, "method": "float"}
        for bits, order, m in itertools.product((1, 3, 8), ("index", "sorted"), (1, 2, "layer")):
            yield {"model": model, "width": width, "method": "binary-weight", "weight_bits": bits} | {
                "order": order,
                "group_size": m,
            }
            yield {"model": model, "width": width, "weight_bits": bits, "activation_bits": 9 - bits} | {
                "order": order,
                "group_size": m,
                "source": "trained" if m == 1 else "post-training",
            }


@pytest.mark.parametrize("settings", list(configurations()), ids=lambda s: "-".join(map(str, s.values())))
def test_a_network_comes_back_exactly(settings: dict[str, Any], tmp_path: Path) -> None:
    stored = packed(**settings)
    file = tmp_path / "net.safetensors"
    assert save(stored, file) == file.stat().st_size
    same(load(file), stored)
    same(parse(file.read_bytes()), stored)
    assert [f.name for f in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("bits", range(1, 9))
def test_every_bit_width_comes_back(bits: int, tmp_path: Path) -> None:
    stored = packed(weight_bits=bits, activation_bits=bits, input_scale=bits == 1, width=0.3125, group_size=3)
    save(stored, tmp_path / "a")
    back = load(tmp_path / "a")
    same(back, stored)
    for conv in back.architecture.convs[1:]:
        q = back.levels(conv)
        assert q.shape == (conv.filters, conv.channels, 3, 3)
        assert (q % 2 == 1).all()
        assert np.abs(q).max() <= 2**bits - 1
        assert back.group_of(conv).tolist() == [f // 3 for f in range(conv.filters)]
        scales = back.tensors[f"{conv.name}.scales"]
        assert back.filter_scales(conv).tolist() == [scales[f // 3] for f in range(conv.filters)]


@pytest.mark.parametrize("origin", [{}, {"a": [1, 2.5, None, "é\n☃"], "b": {"c": True}}])
def test_the_origin_comes_back(origin: dict[str, Any], tmp_path: Path) -> None:
    stored = packed()
    save(Checkpoint(stored.configuration, stored.tensors, origin), tmp_path / "a")
    assert load(tmp_path / "a").origin == origin


def test_arrays_in_any_memory_order_are_stored_alike(tmp_path: Path) -> None:
    stored = packed()
    turned = {name: np.asfortranarray(values) for name, values in stored.tensors.items()}
    save(Checkpoint(stored.configuration, turned, stored.origin), tmp_path / "a")
    same(load(tmp_path / "a"), stored)


def test_a_saved_network_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    stored = packed()
    contents = set()
    for i in range(12):
        save(stored, tmp_path / str(i))
        contents.add((tmp_path / str(i)).read_bytes())
    assert len(contents) == 1


# ---- golden bytes ----------------------------------------------------------------------------------------------

GOLDEN_SETTINGS: dict[str, Any] = {
    "model": "resnet20",
    "method": "xnor",
    "weight_bits": 2,
    "activation_bits": 3,
    "group_size": 2,
    "order": "sorted",
    "source": "trained",
    "width": 0.0625,
    "input_scale": False,
}
WIDTHS = [1] * 7 + [2] * 6 + [4] * 6  # filters of the 19 convolutions


def golden_level(layer: int, f: int, c: int, i: int, j: int) -> int:
    return 2 * ((7 * f + 5 * c + 3 * i + 2 * j + layer) % 4) - 3


def golden_scales(layer: int) -> list[float]:
    return [(layer + 1) / 32 / (g + 1) for g in range(2 if WIDTHS[layer] == 4 else 1)]


def golden_floats(start: int, *shape: int) -> np.ndarray:
    """Multiples of 1/8, exact in float32."""
    return (np.arange(np.prod(shape)) + start).reshape(shape).astype("<f4") / np.float32(8)


def golden_tensors() -> dict[str, tuple[str, list[int], bytes]]:
    """Type, shape and bytes of every tensor, from the format's description and nothing of cfcore."""
    out: dict[str, tuple[str, list[int], bytes]] = {}

    def floats(name: str, values: np.ndarray) -> None:
        out[name] = "F32", list(values.shape), values.astype("<f4").tobytes()

    floats("convs.0.weight", golden_floats(-13, 1, 3, 3, 3))
    for layer in range(1, 19):
        filters, channels = WIDTHS[layer], WIDTHS[layer - 1]
        n = 9 * channels
        planes = [[[0] * -(-n // 8) for _ in range(filters)] for _ in range(2)]
        for plane, f, (place, (i, j, c)) in itertools.product(
            range(2), range(filters), enumerate(itertools.product(range(3), range(3), range(channels)))
        ):
            digit = (golden_level(layer, f, c, i, j) + 3) // 2 >> plane & 1
            planes[plane][f][place // 8] |= digit << place % 8
        out[f"convs.{layer}.planes"] = "U8", [2, filters, -(-n // 8)], bytes(itertools.chain(*itertools.chain(*planes)))
        floats(f"convs.{layer}.scales", np.array(golden_scales(layer)))
        floats(f"convs.{layer}.step", np.array([layer / 16]))
        if filters == 4:
            out[f"convs.{layer}.group_of"] = "U16", [4], struct.pack("<4H", 1, 0, 0, 1)
    for i, channels in enumerate([*WIDTHS[:-1], 4]):  # before each convolution but the first, and at the end
        floats(f"norms.{i}.scale", golden_floats(3 - 2 * i, channels))
        floats(f"norms.{i}.shift", golden_floats(i - 9, channels))
    floats("head.weight", golden_floats(-20, 10, 4))
    floats("head.bias", golden_floats(-5, 10))
    return out


def golden_bytes() -> bytes:
    """safetensors: wide types first, then by name; compact JSON, metadata in order of key, spaces up to 8 bytes."""
    metadata = {
        "configuration": json.dumps(GOLDEN_SETTINGS, sort_keys=True),
        "format": "cfcore-1",
        "origin": json.dumps({"made": "by hand"}),
    }
    header: dict[str, Any] = {"__metadata__": metadata}
    body = b""
    width = {"F32": 4, "U16": 2, "U8": 1}
    for name, (dtype, shape, content) in sorted(golden_tensors().items(), key=lambda t: (-width[t[1][0]], t[0])):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
        body += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def test_the_golden_file_is_what_the_format_describes() -> None:
    assert GOLDEN.read_bytes() == golden_bytes()


def test_the_golden_file_loads_to_the_known_numbers() -> None:
    golden = load(GOLDEN)
    assert golden.configuration.to_dict() == GOLDEN_SETTINGS
    assert golden.origin == {"made": "by hand"}
    for layer, conv in enumerate(golden.architecture.convs):
        if not layer:
            continue
        q = golden.levels(conv)
        assert q.shape == (WIDTHS[layer], WIDTHS[layer - 1], 3, 3)
        assert all(q[place] == golden_level(layer, *place) for place in np.ndindex(*q.shape))
        assert golden.group_of(conv).tolist() == ([1, 0, 0, 1] if WIDTHS[layer] == 4 else [0] * WIDTHS[layer])
        expected = np.array(golden_scales(layer), np.float32)[golden.group_of(conv)]
        assert golden.filter_scales(conv).tolist() == expected.tolist()
        assert golden.tensors[f"{conv.name}.step"].tolist() == [layer / 16]
    assert golden.tensors["head.bias"].tolist() == [(i - 5) / 8 for i in range(10)]
    assert golden.tensors["norms.18.shift"].tolist() == [(18 - 9 + i) / 8 for i in range(4)]


def test_the_golden_file_is_saved_again_byte_for_byte(tmp_path: Path) -> None:
    for i in range(4):  # more than once: an order that hashing decides comes out right by luck
        save(load(GOLDEN), tmp_path / str(i))
        assert (tmp_path / str(i)).read_bytes() == GOLDEN.read_bytes()


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


# ---- saving ----------------------------------------------------------------------------------------------------


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"precious")
    with pytest.raises(CheckpointError, match=r"a exists already\. Choose another name, or allow overwriting\.$"):
        save(packed(), file)
    assert file.read_bytes() == b"precious"
    save(packed(), file, overwrite=True)
    same(load(file), packed())


def test_folders_are_made_on_the_way(tmp_path: Path) -> None:
    save(packed(), tmp_path / "a" / "b" / "c.safetensors")
    same(load(tmp_path / "a" / "b" / "c.safetensors"), packed())


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_failed_write_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"precious")
    original = Path.write_bytes

    def full(self: Path, content: Any) -> None:
        if step == "write_bytes":
            original(self, content[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, full)
        with pytest.raises(CheckpointError, match=r"a could not be written: No space left on device\."):
            save(packed(), file, overwrite=True)
    assert [f.name for f in tmp_path.iterdir()] == ["a"]
    assert file.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["file/net", "file/deeper/net", "folder", "x" * 300], ids=lambda n: n[:12])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="could not be written"):
        save(packed(), tmp_path / name, overwrite=True)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("place", [0, -1])
def test_a_network_that_would_not_load_is_not_saved(tmp_path: Path, place: int) -> None:
    stored = packed(weight_bits=2, activation_bits=2)
    name = list(stored.tensors)[place]
    values = stored.tensors[name]
    spoiled = [
        {k: v for k, v in stored.tensors.items() if k != name},
        {**stored.tensors, "more": values},
        {**stored.tensors, name: values.astype(np.float64)},
        {**stored.tensors, name: values[..., :0]},
        {**stored.tensors, name: values * np.float32("nan")},
        {**stored.tensors, "convs.1.scales": -stored.tensors["convs.1.scales"]},
        {**stored.tensors, "convs.1.planes": stored.tensors["convs.1.planes"] | 255},
    ]
    for tensors in spoiled:
        with pytest.raises(CheckpointError):
            save(Checkpoint(stored.configuration, tensors), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_what_load_would_find_too_large_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A float VGG of width 2 has 73 MB: either it is saved and loads, or saving says why not."""
    monkeypatch.setattr(disk, "LARGEST_FILE", 1000)
    with pytest.raises(CheckpointError):
        save(packed(), tmp_path / "a")
    assert not list(tmp_path.iterdir())
