"""cfcore.manifest: the list of shipped networks comes back as written, and damage is told apart from absence."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cfcore.config import Configuration
from cfcore.errors import CheckpointError
from cfcore.manifest import Entry, entries, find, record, sha256, verified


def entry(file: str = "b.safetensors", content: bytes = b"network", accuracy: float = 81.25, **settings: Any) -> Entry:
    return Entry(
        Configuration.of(**settings),
        accuracy=accuracy,
        seeds={"0": 81.0, "1": 81.5},
        plan="short",
        epochs=30,
        seconds=12.5,
        machine="a processor, 2 cores",
        bytes=len(content),
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        command="python -m cfcore train --seed 0",
    )


# ---- round trip ------------------------------------------------------------------------------------------------

EVERY_KIND: list[dict[str, Any]] = [
    {},
    {"method": "float"},
    {"method": "binary-weight", "weight_bits": 3, "group_size": "layer"},
    {"model": "vgg_small", "width": 0.25, "group_size": 4, "order": "sorted"},
    {"activation_bits": 8, "source": "post-training"},
    {"input_scale": True},
]


def test_entries_come_back_in_order_of_file_name(tmp_path: Path) -> None:
    written = [entry(f"{9 - i}.safetensors", **settings) for i, settings in enumerate(EVERY_KIND)]
    for one in written:
        record(one, tmp_path)
    assert entries(tmp_path) == written[::-1]
    for one in written:
        assert find(one.configuration, tmp_path) == one
    assert sorted(f.name for f in tmp_path.iterdir()) == ["manifest.json", "manifest.lock"]


def test_an_entry_is_one_flat_row() -> None:
    one = entry(group_size=4)
    row = one.to_dict()
    assert row == {
        **one.configuration.to_dict(),
        **{field: getattr(one, field) for field in Entry.__dataclass_fields__ if field != "configuration"},
    }
    assert Entry.from_dict(json.loads(json.dumps(row))) == one


def test_the_same_configuration_is_replaced_and_others_stay(tmp_path: Path) -> None:
    other = entry("c.safetensors", group_size=8)
    for one in (entry(accuracy=70.0), other, entry("a.safetensors", accuracy=80.0)):
        record(one, tmp_path)
    assert entries(tmp_path) == [entry("a.safetensors", accuracy=80.0), other]


def test_so_is_one_that_is_the_same_network_under_another_name(tmp_path: Path) -> None:
    """64 filters are all that the widest layer has."""
    for group_size in ("layer", 64):
        record(entry(group_size=group_size), tmp_path)
    (one,) = entries(tmp_path)
    assert one == entry(group_size=64)
    assert one.configuration == Configuration(group_size="layer")
    assert find(Configuration(group_size=64), tmp_path) == one


def test_only_the_very_configuration_is_found(tmp_path: Path) -> None:
    record(entry(group_size=16), tmp_path)
    wanted = Configuration(group_size=16)
    assert find(wanted, tmp_path) is not None
    for change in ({"group_size": 8}, {"order": "sorted"}, {"source": "post-training"}, {"input_scale": True}):
        assert find(dataclasses.replace(wanted, **change), tmp_path) is None


def test_a_group_that_no_layer_exceeds_is_layer_wise(tmp_path: Path) -> None:
    record(entry(group_size="layer"), tmp_path)
    found = find(Configuration(group_size=64), tmp_path)
    assert found is not None
    assert found.configuration.group_size == "layer"
    assert find(Configuration(group_size=63), tmp_path) is None


def test_recording_the_same_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    record(entry(), tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    record(entry(), tmp_path)
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert before.endswith(b"\n")


# ---- damage ----------------------------------------------------------------------------------------------------


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^There is no manifest\.json in [\w-]+/\. Restore"):
        entries(tmp_path)
    with pytest.raises(CheckpointError, match=r"^There is no manifest\.json"):
        find(Configuration(), tmp_path)


def row(**change: Any) -> dict[str, Any]:
    return {**entry().to_dict(), **change}


def without(field: str) -> dict[str, Any]:
    return {k: v for k, v in row().items() if k != field}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"networks": 3}',
        '{"networks": [3]}',
        '{"networks": [null]}',
        '{"networks": ["text"]}',
        '{"networks": [{}]}',
        '{"networks": {"a": 1}}',
        *(json.dumps({"networks": [without(field)]}) for field in ("accuracy", "sha256", "file", "bytes", "seeds")),
        json.dumps({"networks": [row(weight_bits=9)]}),
        json.dumps({"networks": [row(model="alexnet")]}),
        json.dumps({"networks": [row(more=1)]}),
        *(json.dumps({"networks": [row(accuracy=v)]}) for v in ("high", True, None, -1, 101, [70.0])),
        *(json.dumps({"networks": [row(seeds=v)]}) for v in (70.0, {"0": 170.0}, {"0": "high"})),
        *(json.dumps({"networks": [row(file=v)]}) for v in (5, "", ".", "..", "../a", "/etc/passwd", "a/b", "a\\b")),
        json.dumps({"networks": [row(bytes=1.5)]}),
        *(json.dumps({"networks": [row(seconds=v)]}) for v in (float("nan"), float("inf"), -1)),
        *(json.dumps({"networks": [row(**{name: -1})]}) for name in ("bytes", "epochs")),
        json.dumps({"networks": [row(epochs=10**400)]}),
        json.dumps({"networks": [row(seeds={})]}),
        json.dumps({"networks": [row(command=["a"])]}),
        json.dumps({"networks": [row(group_size=10**30)]}),
        '{"networks": {}}',
        '{"networks":' + "[" * 100_000,
        json.dumps({"networks": [row(epochs=True)]}),
        json.dumps({"networks": [row(), row(weight_bits=None)]}),
    ],
)
def test_a_damaged_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"^[\w-]+/manifest\.json is damaged \(.*\)\. Restore it"):
        entries(tmp_path)
    with pytest.raises(CheckpointError, match="is damaged"):
        record(entry(), tmp_path)
    assert (tmp_path / "manifest.json").read_text() == text  # not replaced: what can be mended is still there


def test_a_list_with_a_network_twice_is_refused(tmp_path: Path) -> None:
    rows = [entry(file).to_dict() for file in ("a.safetensors", "b.safetensors")]
    (tmp_path / "manifest.json").write_text(json.dumps({"networks": rows}))
    with pytest.raises(CheckpointError, match="resnet20-xnor-w1a1-m16 is there twice"):
        entries(tmp_path)


def test_a_file_in_place_of_the_folder_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "networks").touch()
    with pytest.raises(CheckpointError, match=r"There is no manifest.json in networks/\. Restore pretrained/"):
        entries(tmp_path / "networks")


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(CheckpointError, match="is damaged"):
        entries(tmp_path)


def test_a_folder_in_place_of_the_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged .*Restore it from the project\."):
        entries(tmp_path)


# ---- checksums -------------------------------------------------------------------------------------------------


def test_a_file_with_the_right_checksum_is_handed_out(tmp_path: Path) -> None:
    (tmp_path / "b.safetensors").write_bytes(b"network")
    assert sha256(tmp_path / "b.safetensors") == hashlib.sha256(b"network").hexdigest()
    assert verified(entry(), tmp_path) == tmp_path / "b.safetensors"


@pytest.mark.parametrize("content", [b"", b"networ", b"Network", b"network\n"])
def test_a_file_with_another_checksum_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"^b\.safetensors is not the file that was shipped: its sha256 differs"):
        verified(entry(), tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^There is no b\.safetensors in [\w-]+/\. Restore"):
        verified(entry(), tmp_path)


def test_what_is_shipped_is_what_the_list_says() -> None:
    shipped = entries()
    assert shipped
    assert len({e.configuration for e in shipped}) == len(shipped)
    assert len({e.file for e in shipped}) == len(shipped)
    for one in shipped:
        file = verified(one)
        assert file.stat().st_size == one.bytes
        assert 10 < one.accuracy < 100
        assert one.seeds
        assert "/" not in one.file
