"""cfcore.timings: what a record says, and a file of timings is read or refused."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cfcore.errors import CheckpointError
from cfcore.manifest import PRETRAINED
from cfcore.timings import Benchmark, Machine, Row, conv_of, cpu_name, read_sets

MACHINE = Machine("a CPU", 2, "512-bit vectors", "3.11", "0.68", "2.13")


def row(layer: str, backend: str, stage: str, seconds: float) -> Row:
    return Row(layer, 1, backend, stage, 1, seconds, seconds, seconds, 3, 1.0, 1.0, None, True)


def benchmark(bits: tuple[int, int], *rows: Row) -> Benchmark:
    return Benchmark(MACHINE, *bits, 1, 1000.0, 0.1, rows, ())


FAST = benchmark(
    (1, 1),
    row("64,8,64,3,1", "packed", "layer", 2.0),
    row("64,8,64,3,1", "packed", "product", 1.0),
    row("64,8,64,3,1", "torch-fp32", "layer", 8.0),
    row("64,8,64,3,1", "torch-int8", "layer", 3.0),
    row("64,8,64,3,1", "torch-int8", "product", 1.5),
    row("16,8,16,3,1", "packed", "layer", 2.0),
    row("16,8,16,3,1", "torch-fp32", "layer", 1.0),
)
SLOW = benchmark((4, 4), row("64,8,64,3,1", "packed", "layer", 16.0), row("64,8,64,3,1", "torch-fp32", "layer", 8.0))


def test_a_file_holds_one_document_or_a_list(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(FAST.to_dict()))
    assert Benchmark.read(file) == [FAST]
    file.write_text(json.dumps([SLOW.to_dict(), FAST.to_dict()]))
    assert Benchmark.read(file) == [SLOW, FAST]


def test_the_rival_is_the_fastest_of_the_others() -> None:
    part = FAST.of_layer("64,8,64,3,1")
    assert part is not None
    rival = part.rival()
    assert rival is not None
    assert rival.backend == "torch-int8"
    assert part.rival("chain") is None


def test_the_bound_of_more_bits_is_lower_and_of_more_threads_higher() -> None:
    assert replace(FAST, weight_bits=2, activation_bits=3, threads=4).bound == 1000.0 * 4 / (2 * 3)


def test_a_shape_is_found_again_from_its_name() -> None:
    conv = conv_of("64,9,32,5,2")
    assert conv is not None
    assert (conv.channels, conv.size, conv.filters, conv.kernel, conv.stride, conv.padding) == (64, 9, 32, 5, 2, 2)
    for name in (
        "resnet20",
        "64,8,64,3",
        "64,8,64,3,0",
        "64,8,64,0,1",
        "0,8,64,3,1",
        "64,8,0,3,1",
        "1,2,3,4,5,6",
        "x,8,64,3,1",
    ):
        assert conv_of(name) is None


def test_every_file_of_a_folder_is_a_set(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There are no timings in .*\. Make some with: cfcore bench record"):
        read_sets(tmp_path)
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(json.dumps(FAST.to_dict()))
    (tmp_path / "a.json.partial").write_text("")
    assert read_sets(tmp_path) == {"a": [FAST], "b": [FAST]}


def test_two_machines_ship_and_each_file_is_of_one() -> None:
    sets = read_sets(PRETRAINED / "bench")
    assert set(sets) == {"amd-zen4", "intel-amx"}
    for benchmarks in sets.values():
        assert len({b.machine for b in benchmarks}) == 1
        assert all(b.all_correct and not b.disturbed for b in benchmarks)
    assert len(sets["amd-zen4"]) == 3 * 5 + 3 * 2  # three lists of layers at five widths, three networks at two batches


def test_this_processor_has_a_name() -> None:
    from cfcore.kernels.machine import this_machine

    assert this_machine().cpu == cpu_name() != ""


@pytest.mark.parametrize("name", ["weight_bits", "activation_bits"])
@pytest.mark.parametrize("bits", [0, 9, 32, True, 1.0, float("nan"), "1", None, [1]])
def test_bits_that_are_none_damage_a_file(tmp_path: Path, name: str, bits: object) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({**FAST.to_dict(), name: bits}))
    with pytest.raises(
        CheckpointError, match=rf"bench\.json is no file of timings, or damaged \(ConfigError: {name} = .*restore it"
    ):
        Benchmark.read(file)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": 0},
        {"threads": 1.5},
        {"machine": {**asdict(MACHINE), "cores": 2.0}},
        {"port_bound": "fast"},
        {"port_bound": True},
        {"jit_s": "oops"},
        {"jit_s": -1.0},
        {"jit_s": False},
        {"machine": {**asdict(MACHINE), "cpu": []}},
        {"machine": {**asdict(MACHINE), "cpu": "\x1b[2J"}},
        {"notes": ["two\nlines"]},
        {"notes": [1]},
    ],
)
def test_conditions_that_are_none_damage_a_file(tmp_path: Path, wrong: dict[str, object]) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({**FAST.to_dict(), **wrong}))
    with pytest.raises(CheckpointError, match=r"bench\.json is no file of timings, or damaged \(ValueError: "):
        Benchmark.read(file)


@pytest.mark.parametrize(
    "wrong",
    [
        {"median_s": 5e-324},
        {"p90_s": 10**400},
        {"gmacs": -1},
        {"of_port_bound": "x"},
        {"matches_reference": "yes"},
        {"batch": 1.5},
        {"threads": "2"},
        {"runs": 1e3},
    ],
    ids=str,
)
def test_rows_of_no_timing_damage_a_file(tmp_path: Path, wrong: dict[str, object]) -> None:
    file = tmp_path / "bench.json"
    document = FAST.to_dict()
    document["rows"] = [{**row, **wrong} for row in document["rows"]]
    file.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=r"bench\.json is no file of timings, or damaged \(ValueError: "):
        Benchmark.read(file)


@pytest.mark.parametrize("content", ["", "3", "null", "{}", "[[]]", '[{"rows": []}]', '{"rows": 3, "machine": {}}'])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bench.json"
    with pytest.raises(CheckpointError, match=r"^There is no bench\.json\. Make it with: cfcore bench record FILE$"):
        Benchmark.read(file)
    file.write_text(content)
    with pytest.raises(
        CheckpointError, match=r"bench\.json is no file of timings, or damaged \(.*\)\. .* or restore it\.$"
    ):
        Benchmark.read(file)
