"""cfcore.timings: where packed pays follows from the medians, and a file of timings is read or refused."""

import json
from pathlib import Path

import pytest

from cfcore.errors import CheckpointError
from cfcore.timings import Benchmark, Machine, Row, crossovers

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


def test_packed_pays_where_nothing_is_faster() -> None:
    found = crossovers([SLOW, FAST])
    assert [(c.layer, c.weight_bits, c.times_faster, c.pays) for c in found] == [
        ("64,8,64,3,1", 1, {"torch-fp32": 8.0 / 2.0, "torch-int8": 3.0 / 2.0}, True),
        ("64,8,64,3,1", 4, {"torch-fp32": 8.0 / 16.0}, False),
        ("16,8,16,3,1", 1, {"torch-fp32": 1.0 / 2.0}, False),
    ]
    assert [c.times_faster for c in crossovers([FAST], "product")] == [{"torch-int8": 1.5 / 1.0}]
    assert crossovers([SLOW], "product") == []


def test_a_record_says_whether_it_pays() -> None:
    document = crossovers([FAST])[0].to_dict()
    assert document["pays"] is True
    assert json.loads(json.dumps(document)) == document


def test_a_file_holds_one_document_or_a_list(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(FAST.to_dict()))
    assert Benchmark.read(file) == [FAST]
    file.write_text(json.dumps([SLOW.to_dict(), FAST.to_dict()]))
    assert Benchmark.read(file) == [SLOW, FAST]


@pytest.mark.parametrize("content", ["", "3", "null", "{}", "[[]]", '[{"rows": []}]', '{"rows": 3, "machine": {}}'])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bench.json"
    with pytest.raises(CheckpointError, match=r"^There is no .*/bench\.json\. Make it with: cfcore bench record FILE$"):
        Benchmark.read(file)
    file.write_text(content)
    with pytest.raises(CheckpointError, match=r"bench\.json is damaged \(.*\)\. Restore it from the project\.$"):
        Benchmark.read(file)
