"""cfcore.roofline: bytes are counted operand by operand, and intensities follow from them."""

import pytest

from cfcore.architecture import Conv
from cfcore.roofline import least_bytes, points
from cfcore.timings import Benchmark, Machine, Row

CONV = Conv("", channels=33, filters=20, size=9, stride=2)
X, W, Y = 33 * 9 * 9, 20 * 33 * 3 * 3, 20 * 5 * 5


@pytest.mark.parametrize(
    ("backend", "stage", "bits"),
    [
        ("packed", "product", (3 * X + 2 * W + 32 * Y)),
        ("packed", "layer", (32 * X + 2 * W + 32 * Y)),
        ("packed", "chain", (3 * X + 2 * W + 3 * Y)),
        ("torch-fp32", "product", 32 * (X + W + Y)),
        ("torch-fp32", "layer", 32 * (X + W + Y)),
        ("torch-bf16", "product", 16 * (X + W + Y)),
        ("torch-bf16", "layer", (32 * X + 16 * W + 32 * Y)),
        ("torch-int8", "product", (8 * X + 8 * W + 32 * Y)),
        ("torch-int8", "layer", (32 * X + 8 * W + 32 * Y)),
        ("openvino", "layer", (32 * X + W + 32 * Y)),
    ],
)
def test_each_operand_is_moved_once(backend: str, stage: str, bits: int) -> None:
    assert least_bytes(CONV, backend, stage, weight_bits=2, activation_bits=3) == -(-bits // 8)


def row(layer: str, backend: str, stage: str) -> Row:
    return Row(layer, 1, backend, stage, 1, 1e-6, 1e-6, 1e-6, 3, 500.0, 1.0, None, True)


def test_points_have_what_was_measured_and_what_follows_from_the_shape() -> None:
    rows = (
        row("64,8,64,3,1", "packed", "chain"),
        row("resnet20", "packed", "network"),
        row("1,1,1,1,1", "else", "layer"),
    )
    machine = Machine("a CPU", 2, "512-bit vectors", "3", "0", "2")
    (point,) = points(Benchmark(machine, 1, 1, 1, 1000.0, 0.0, rows, ()))
    moved = (64 * 8 * 8 + 64 * 64 * 9 + 64 * 8 * 8) / 8
    assert point.bytes == moved
    assert point.intensity == pytest.approx(64 * 64 * 9 * 8 * 8 / moved)
    assert point.gmacs == 500.0
    assert point.moved == pytest.approx(500.0 / point.intensity)
