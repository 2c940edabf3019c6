"""cfcore.checkpoint: what is stored comes back, the bytes stay what they were, and saving harms nothing."""

import itertools
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

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
        with pytest.raises(CheckpointError, match=r"is missing or unknown|should be|holds a|have bits set after the"):
            save(Checkpoint(stored.configuration, tensors), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_what_load_would_find_too_large_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A float VGG of width 2 has 73 MB: either it is saved and loads, or saving says why not."""
    monkeypatch.setattr(disk, "LARGEST_FILE", 1000)
    with pytest.raises(CheckpointError, match=r"^The network has more than 0 MiB\. Choose a smaller width\."):
        save(packed(), tmp_path / "a")
    assert not list(tmp_path.iterdir())
