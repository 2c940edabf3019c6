"""From the worker's task to what the page says of a window; and the code that says the same."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from app.services import bits, networks
from app.services.bits import Flip, Layer, Place
from app.views import words_bits
from cfcore.__main__ import app
from cfcore.config import Configuration

TWO_BITS = Configuration(weight_bits=2, activation_bits=2, source="post-training")
CONFIGURATIONS = [Configuration(), TWO_BITS]
FLIPS = (Flip("weight", 0, tap=4, channel=9), Flip("activation", 0, tap=5, channel=40))  # one of them is not shown
PLACE = Place(image=3, row=0, column=5, filter=7, channel=8)


@pytest.fixture(scope="module")
def layers() -> dict[Configuration, Layer]:
    """convs.18 of each configuration, at work on the first test images."""
    return {c: bits.task(c, "convs.18", PLACE.image).run(lambda *_: None) for c in CONFIGURATIONS}


def look(layers: dict[Configuration, Layer], configuration: Configuration, *flips: Flip) -> bits.View:
    conv = networks.layers(configuration)["convs.18"]
    return bits.view(configuration, conv, layers[configuration], PLACE, flips)


def test_neighbouring_images_are_one_task() -> None:
    assert bits.task(Configuration(), "convs.1", 10) == bits.task(Configuration(), "convs.1", 19)
    assert bits.task(Configuration(), "convs.1", 19) != bits.task(Configuration(), "convs.1", 20)
    assert bits.task(Configuration(), "convs.1", 9_999).first == 9_990


def test_the_task_brings_the_image_and_its_class(layers: dict[Configuration, Layer]) -> None:
    layer = layers[Configuration()]
    assert [bits.label(layer, image) for image in range(4)] == ["cat", "ship", "ship", "airplane"]
    assert np.shape(bits.pixels(layer, 3)) == (32, 32, 3)
    assert np.shape(bits.maps(layer, PLACE)) == (8, 8, 8)
    assert layer.levels.nbytes == 10 * 64 * 8 * 8


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_bits_and_floats_agree(layers: dict[Configuration, Layer], configuration: Configuration) -> None:
    view = look(layers, configuration)
    assert view.part.equal
    assert view.whole.equal
    assert view.part.sum == view.before
    assert view.part.products == 8 * 9
    assert (view.whole.products, view.whole.words) == (64 * 9, 2 * 9)
    assert len(view.steps) == 9
    assert view.scaled == pytest.approx(view.alpha * view.step * view.whole.sum, rel=1e-6)
    assert view.scaled == pytest.approx(view.torch, rel=1e-4, abs=1e-5)


def test_the_steps_can_be_taken_away(layers: dict[Configuration, Layer]) -> None:
    view = look(layers, Configuration())
    for record, step in zip(bits.step_records(view), view.steps, strict=True):
        assert [int(bit) for bit in record["joined"]] == list(step.joined)
        assert (record["count"], record["total"]) == (step.count, step.total)


def test_a_factor_is_shared_by_those_of_its_group() -> None:
    """64 filters by 5: the last group has 4."""
    configuration = Configuration.of(method="xnor", group_size=5, source="post-training")
    layer = bits.task(configuration, "convs.18", 0).run(lambda *_: None)
    assert layer.sizes == (5,) * 60 + (4,) * 4
    conv = networks.layers(configuration)["convs.18"]
    view = bits.view(configuration, conv, layer, Place(0, 0, 0, filter=63, channel=0), ())
    assert "shared by 4 filters" in words_bits.scaled(view, configuration, conv, 0)


def test_a_flip_moves_both_sums_by_two(layers: dict[Configuration, Layer]) -> None:
    before = look(layers, Configuration())
    after = look(layers, Configuration(), Flip("activation", 0, tap=4, channel=PLACE.channel + 2))
    assert abs(after.part.sum - before.part.sum) == 2
    assert after.whole.sum - before.whole.sum == after.part.sum - before.part.sum
    assert after.part.equal
    assert after.before == before.part.sum
    assert after.steps[4].activations[2] == 1 - before.steps[4].activations[2]
    assert after.torch == before.torch  # which knows of no flip


def test_missing_taps_are_those_of_the_window(layers: dict[Configuration, Layer]) -> None:
    conv = networks.layers(Configuration())["convs.18"]
    for row, column, missing in ((4, 4, 0), (0, 4, 3), (7, 7, 5)):
        assert bits.hanging_over(conv, Place(0, row, column, 0, 0)) == missing
    inside = [step.inside for step in look(layers, Configuration()).steps]
    assert inside.count(False) == bits.hanging_over(conv, PLACE) == 3


def test_a_stride_leaves_the_last_border_out() -> None:
    """32 pixels and stride 2: the last window begins at row 29 of 0 to 31."""
    conv = networks.layers(Configuration())["convs.7"]
    assert (conv.size, conv.stride, conv.output_size) == (32, 2, 16)
    assert bits.hanging_over(conv, Place(0, 15, 8, 0, 0)) == 0
    assert bits.hanging_over(conv, Place(0, 0, 0, 0, 0)) == 5


def test_flips_are_spelled_in_an_address_and_read_again() -> None:
    assert bits.spelled(FLIPS) == "activation.0.5.40~weight.0.4.9"
    assert bits.parsed(bits.spelled(FLIPS)) == frozenset(FLIPS)


def test_a_flip_of_another_channel_moves_only_the_whole_sum(layers: dict[Configuration, Layer]) -> None:
    before, after = look(layers, Configuration()), look(layers, Configuration(), FLIPS[1])
    assert after.part.sum == before.part.sum
    assert abs(after.whole.sum - before.whole.sum) == 2


@pytest.mark.parametrize("flips", [(), FLIPS])
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_command_shown_finds_the_same_numbers(
    layers: dict[Configuration, Layer], configuration: Configuration, flips: tuple[Flip, ...]
) -> None:
    command = bits.command(configuration, "convs.18", PLACE, flips)
    assert command.startswith("python -m cfcore window ")
    result = CliRunner().invoke(app, [*shlex.split(command)[3:], "--json"])
    assert result.exit_code == 0, result.output
    document, view = json.loads(result.stdout), look(layers, configuration, *flips)
    assert (document["sum"], document["float_sum"]) == (view.part.sum, view.part.float_sum)
    assert document["all_channels"]["sum"] == view.whole.sum
    assert document["all_channels"]["scaled"] == pytest.approx(view.scaled, rel=1e-5)
    assert document["channels"] == list(range(8, 16))
    first = document["planes"][0]
    steps = [{**step.to_dict(), **{n: list(getattr(step, n)) for n in ("activations", "weights", "joined")}}
             for step in view.steps]  # fmt: skip
    assert first.pop("steps") == steps
    assert first == bits.records(view)[0]


@pytest.mark.parametrize(
    ("configuration", "flips", "planes"),
    [(CONFIGURATIONS[0], FLIPS, (0, 0)), (CONFIGURATIONS[1], (), (CONFIGURATIONS[1].activation_bits - 1, 0))],
)
def test_the_python_shown_finds_the_same_numbers(
    layers: dict[Configuration, Layer],
    configuration: Configuration,
    flips: tuple[Flip, ...],
    planes: tuple[int, int],
) -> None:
    code = bits.python(configuration, "convs.18", PLACE, flips, planes)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    *taps, part, whole = run.stdout.splitlines()
    view = look(layers, configuration, *flips)
    conv = networks.layers(configuration)["convs.18"]
    steps = bits.view(configuration, conv, layers[configuration], PLACE, flips, planes).steps
    assert taps == [f"{s.tap} {s.activations} {s.weights} {s.joined} {s.count} {s.total}" for s in steps]
    assert part == f"{view.part.sum} {view.part.float_sum}"
    assert [float(number) for number in whole.split()] == pytest.approx([view.whole.sum, view.scaled, view.torch], 1e-4)


def test_the_page_needs_no_torch() -> None:
    """The server stays light: only the worker loads torch and the kernels."""
    check = "import sys, app.services.bits, app.services.bits_tasks; print({'torch', 'numba'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=100, check=True)
    assert run.stdout.strip() == "set()"
