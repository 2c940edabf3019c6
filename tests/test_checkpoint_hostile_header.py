"""cfcore.checkpoint and a stranger's configuration or table of tensors: refused in a sentence."""

import json
from typing import Any

import pytest
from hostile import edited, join, refused, split, with_metadata
from test_checkpoint import GOLDEN_SETTINGS, golden_bytes


@pytest.fixture(scope="module")
def good() -> bytes:
    """A stored network with every kind of tensor in it."""
    return golden_bytes()


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
