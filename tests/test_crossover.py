"""cfcore.crossover: where packed pays follows from the medians."""

import json
from dataclasses import replace

from test_timings import FAST, MACHINE, SLOW, benchmark, row

from cfcore.crossover import crossovers
from cfcore.manifest import PRETRAINED
from cfcore.timings import read_sets


def test_packed_pays_where_nothing_is_faster() -> None:
    found = crossovers([SLOW, FAST])
    assert [(c.layer, c.weight_bits, c.times_faster, c.pays) for c in found] == [
        ("64,8,64,3,1", 1, {"torch-fp32": 8.0 / 2.0, "torch-int8": 3.0 / 2.0}, True),
        ("64,8,64,3,1", 4, {"torch-fp32": 8.0 / 16.0}, False),
        ("16,8,16,3,1", 1, {"torch-fp32": 1.0 / 2.0}, False),
    ]
    assert [c.times_faster for c in crossovers([FAST], "product")] == [{"torch-int8": 1.5 / 1.0}]
    assert crossovers([SLOW], "product") == []
    assert [c.rival for c in crossovers([FAST])] == ["torch-int8", "torch-fp32"]


def test_a_record_says_whether_it_pays() -> None:
    document = crossovers([FAST])[0].to_dict()
    assert document["pays"] is True
    assert json.loads(json.dumps(document)) == document


def test_machines_and_batches_are_kept_apart() -> None:
    other = replace(FAST, machine=replace(MACHINE, cpu="another"))
    found = crossovers([FAST, other, replace(FAST, threads=2)])
    assert [(c.machine.cpu, c.threads) for c in found] == [("a CPU", 1)] * 2 + [("another", 1)] * 2 + [("a CPU", 2)] * 2
    assert {"cpu": "another", "vectors": "512-bit vectors"}.items() <= found[2].to_dict().items()
    rows = [row("net", backend, "network", seconds) for backend, seconds in (("packed", 1.0), ("torch-fp32", 9.0))]
    several = benchmark((1, 1), *rows, *(replace(row, batch=32, median_s=2 * row.median_s) for row in rows))
    assert [(c.batch, c.times_faster) for c in crossovers([several], "network")] == [
        (1, {"torch-fp32": 9.0}),
        (32, {"torch-fp32": 9.0}),
    ]


def test_a_product_stands_for_a_layer_that_was_not_timed() -> None:
    """It takes less time, so packed is never made to look better by what is missing."""
    (intel,) = [b for b in read_sets(PRETRAINED / "bench")["intel-amx"] if b.find("packed", "layer")][:1]
    product = intel.find("torch-int8", "product")
    assert product is not None
    assert intel.find("torch-int8", "layer") is None
    first = crossovers([intel])[0]
    packed = intel.find("packed", "layer")
    assert packed is not None
    assert first.times_faster["torch-int8"] == product.median_s / packed.median_s
    assert not any(row.backend == "packed" and row.stage == "product" for row in intel.of_stage("layer"))
