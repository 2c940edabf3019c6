"""The benchmark's records, its refusals and its conditions; its figures are whatever the machine gives."""

import json
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cfcore.bench import bench_conv, bench_network, network
from cfcore.bench.rounds import Case, Contender, run_cases
from cfcore.config import Configuration
from cfcore.errors import Cancelled, ConfigError
from cfcore.runtime import PackedNetwork
from cfcore.timings import Benchmark

SMALL = "33,5,20,3,2"


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    return bench_conv(SMALL, runs=2)


def test_everything_is_right_before_it_is_timed(benchmark: Benchmark) -> None:
    assert all(row.matches_reference for row in benchmark.rows)


def test_rows(benchmark: Benchmark) -> None:
    stages = {(row.backend, row.stage) for row in benchmark.rows}
    assert {("packed", "product"), ("packed", "layer"), ("torch-fp32", "layer"), ("torch-bf16", "layer")} <= stages
    assert len(stages) == len(benchmark.rows)
    assert {row.layer for row in benchmark.rows} == {SMALL}
    assert any(row.backend == "torch-int8" for row in benchmark.rows) or "torch-int8" in " ".join(benchmark.notes)


def test_figures_follow_from_the_median(benchmark: Benchmark) -> None:
    fp32 = next(row for row in benchmark.rows if row.backend == "torch-fp32")
    assert fp32.speedup_vs_fp32 == 1
    output = (5 + 2 * 1 - 3) // 2 + 1
    for row in benchmark.rows:
        assert 0 < row.p10_s <= row.median_s <= row.p90_s
        assert row.runs == 2
        assert row.gmacs == pytest.approx(20 * 33 * 3 * 3 * output**2 / row.median_s / 1e9)
        assert row.speedup_vs_fp32 == pytest.approx(fp32.median_s / row.median_s)
        assert (row.of_port_bound is not None) == ((row.backend, row.stage) == ("packed", "product"))


def test_json(benchmark: Benchmark) -> None:
    record = json.loads(json.dumps(benchmark.to_dict()))
    assert benchmark.rows[0].to_dict() == record["rows"][0]
    assert {"machine", "threads", "port_bound", "jit_s", "rows", "notes"} <= set(record)
    fields = [
        "layer",
        "backend",
        "stage",
        "threads",
        "median_s",
        "p10_s",
        "p90_s",
        "runs",
        "gmacs",
        "speedup_vs_fp32",
        "matches_reference",
    ]
    assert set(fields) <= set(record["rows"][0])
    assert {"cpu", "cores", "vectors", "python", "torch", "numba"} == set(record["machine"])
    assert record["port_bound"] > 0


def test_openvino_is_timed_where_it_is_installed(benchmark: Benchmark) -> None:
    pytest.importorskip("openvino", reason="requirements-bench.txt is not installed")
    assert benchmark.find("openvino", "layer") is None
    assert "openvino is missing for 33,5,20,3,2: its channels do not fill bytes." in benchmark.notes
    whole_bytes = bench_conv("40,5,20,3,2", runs=1)
    assert whole_bytes.all_correct
    assert whole_bytes.find("openvino", "layer") is not None
    more_bits = bench_conv("3,4,5,2,1", weight_bits=2, runs=1)
    assert more_bits.find("openvino", "layer") is None


def test_a_network() -> None:
    record = bench_network(Configuration(group_size=16), batch=3, runs=1)
    assert [(row.backend, row.stage, row.batch) for row in record.rows] == [
        ("packed", "network", 3),
        ("torch-fp32", "network", 3),
        ("torch-bf16", "network", 3),
    ]
    assert all(row.matches_reference for row in record.rows)
    assert {row.layer for row in record.rows} == {"resnet20"}
    macs = 32 * 32 * 16 * 3 * 9  # the first layer, then three stages of six, of which the latter two halve the size
    macs += 6 * 32 * 32 * 16 * 16 * 9
    macs += 16 * 16 * 32 * 16 * 9 + 5 * 16 * 16 * 32 * 32 * 9
    macs += 8 * 8 * 64 * 32 * 9 + 5 * 8 * 8 * 64 * 64 * 9
    macs += 64 * 10
    assert record.rows[0].gmacs == pytest.approx(3 * macs / record.rows[0].median_s / 1e9)
    assert not any("random" in note for note in record.notes)


def test_a_network_that_answers_otherwise_is_not_right(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(PackedNetwork):
        def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
            return super().__call__(images) * 1000 + 7  # the same order of classes

    monkeypatch.setattr(network, "PackedNetwork", Wrong)
    record = bench_network(Configuration(group_size=16), runs=1)
    assert [row.matches_reference for row in record.rows] == [False, True, True]


def test_a_network_of_8_bits_is_right() -> None:
    """A third of its images meet a threshold within rounding."""
    record = bench_network(Configuration(weight_bits=8, activation_bits=8, group_size=1), runs=1)
    assert record.all_correct


def test_the_fastest_way_that_is_right_is_reported() -> None:
    def prepare(*_: object) -> list[Contender]:
        slow = partial(time.sleep, 1e-3)
        return [
            Contender("torch-fp32", ("layer", "product"), int, matches=False),
            Contender("torch-fp32", ("layer", "product"), slow, matches=True),
            Contender("packed", ("layer",), int, matches=False),
        ]

    record = run_cases([Case("1,1,1,1,1", 1, 1, prepare)], (1, 1), threads=1, runs=2, warm_up=int)
    assert [(row.backend, row.stage, row.matches_reference) for row in record.rows] == [
        ("torch-fp32", "layer", True),
        ("torch-fp32", "product", True),
        ("packed", "layer", False),
    ]
    assert record.rows[0].median_s == record.rows[1].median_s > 1e-3


def test_a_network_that_is_not_shipped_has_random_weights() -> None:
    record = bench_network(Configuration(width=0.25, group_size=4), runs=1)
    assert "The weights were random: no network of resnet20-x0.25-xnor-w1a1-m4 was shipped then." in record.notes


@pytest.mark.parametrize(
    ("configuration", "batch", "message"),
    [
        (Configuration(), 0, "batch = 0 is not allowed: use a whole number from 1 to 256"),
        (Configuration(), 257, "batch = 257 is not allowed"),
        (Configuration.of(method="float"), 1, "cannot run packed"),
        (Configuration.of(method="float"), 1, r"without the K map\. Choose method xnor\.$"),
        (Configuration.of(method="binary-weight"), 1, "cannot run packed"),
        (Configuration.of(input_scale=True), 1, r"xnor without the K map\. Choose method xnor\.$"),
    ],
)
def test_networks_that_cannot_be_timed(configuration: Configuration, batch: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bench_network(configuration, batch)


def test_more_bits_and_threads() -> None:
    threads = torch.get_num_threads()
    benchmark = bench_conv("3,4,5,2,1", threads=1, weight_bits=2, activation_bits=3, runs=1)
    assert all(row.matches_reference for row in benchmark.rows)
    assert (benchmark.weight_bits, benchmark.activation_bits) == (2, 3)
    assert torch.get_num_threads() == threads


def test_a_layer_whose_filters_are_too_many_channels_for_one_like_it() -> None:
    benchmark = bench_conv("5,3,150,15,1", weight_bits=8, activation_bits=8, runs=1)
    assert all(row.matches_reference for row in benchmark.rows)
    assert benchmark.find("packed", "chain") is not None


def test_progress_and_cancelling() -> None:
    seen: list[tuple[int, int, str]] = []
    threads = torch.get_num_threads()

    def watch(done: int, rounds: int, layer: str) -> None:
        seen.append((done, rounds, layer))
        if len(seen) == 3:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        bench_conv(SMALL, runs=5, progress=watch)
    assert seen == [(0, 5, SMALL), (1, 5, SMALL), (2, 5, SMALL)]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threads": 0}, "threads = 0 is not allowed: use a whole number from 1"),
        ({"threads": 100_000}, "threads = 100000 is not allowed"),
        ({"runs": 0}, "runs = 0 is not allowed"),
        ({"weight_bits": 32}, "weight_bits = 32 is not allowed: use a whole number from 1 to 8"),
        ({"activation_bits": 0}, "activation_bits = 0 is not allowed"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bench_conv(SMALL, **settings)
