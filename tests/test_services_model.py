"""What the cost model's page shows is arithmetic that can be done by hand, and the same from the snippets it offers."""

import contextlib
import io
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.services import model as formulas
from app.services import networks, speed
from cfcore.config import Configuration, LayerModel
from cfcore.cost import network_cost
from cfcore.formula import estimate
from cfcore.timings import layer_name

EXAMPLES = [
    (LayerModel(), Configuration(), "channels"),
    (LayerModel(channels=16, kernel=1, group_size=5), Configuration.of(method="binary-weight"), "group_size"),
    (formulas.CANDIDATES[0], Configuration(weight_bits=3, activation_bits=2, order="sorted"), "kernel"),
    (formulas.CANDIDATES[2], Configuration.of(method="float"), "kernel"),
    (LayerModel(word_bits=32 / 3, scaling="folded"), Configuration(model="vgg_small", group_size="layer"), "channels"),
]


@pytest.mark.parametrize("over", formulas.OVER)
def test_curves_are_the_formulas(over: str) -> None:
    model = LayerModel(channels=48, group_size=5, scaling="group")
    memory, speeds = formulas.curves(model, over)
    (own,) = [curve for curve in memory if curve.chosen]
    (own_speed,) = [curve for curve in speeds if curve.chosen]
    at = own.x.index(getattr(model, over))
    assert own.y[at] == estimate(model).memory_ratio
    assert own_speed.y[at] == estimate(model).speedup
    assert [curve.label for curve in memory] == [curve.label for curve in speeds]


def test_sharing_lifts_the_smallest_kernel() -> None:
    memory, _ = formulas.curves(LayerModel(), "channels")
    alone, shared = (next(c for c in memory if c.label == label) for label in ("1×1", "1×1, m = 16"))
    assert shared.other
    at = alone.x.index(16)
    assert alone.y[at] == pytest.approx(32 * 16 / (16 + 32))
    assert shared.y[at] == pytest.approx(32 * 16 * 16 / (16 * 16 + 32))


def test_a_group_size_is_compared_with_not_sharing() -> None:
    memory, _ = formulas.curves(LayerModel(group_size=16), "channels")
    assert [curve.label for curve in memory if curve.other] == ["1×1, m = 1"]


def test_the_chosen_layer_is_counted_as_this_project_runs_it() -> None:
    configuration = Configuration(weight_bits=2, activation_bits=3, group_size="layer")
    conv = networks.layers(configuration)["convs.18"]
    model = formulas.of_layer(configuration, conv)
    assert model == LayerModel(64, 3, 64, 2, 3, scaling="output")
    floats = Configuration.of(method="float")
    assert formulas.of_layer(floats, conv) == LayerModel(64, 3, 1, 1, 1, scaling="output")


# ---- measured


def test_measured_is_explained_by_both_sides_of_the_ratio() -> None:
    timings = formulas.measured(1, 1, networks.folder())
    assert len(timings) > 5
    assert len({timing.benchmark.machine for timing in timings}) == 1  # never two machines in one picture
    for timing in timings:
        packed = timing.benchmark.find("packed", "layer")
        assert packed is not None
        assert packed.layer == speed.layer_name(timing.conv)
        assert timing.times_faster == pytest.approx(packed.speedup_vs_fp32)
        assert 32 / 3 * timing.packed_share / timing.float_share == pytest.approx(timing.times_faster)
        assert 0 < timing.packed_share < 1
        assert 0 < timing.float_share < 1


def test_more_bits_divide_what_can_be_gained() -> None:
    for timing in formulas.measured(2, 2, networks.folder()):
        assert 32 / 3 / 4 * timing.packed_share / timing.float_share == pytest.approx(timing.times_faster)


def test_bits_that_nobody_timed_have_none() -> None:
    assert formulas.measured(7, 3, networks.folder()) == []


def test_a_set_without_these_bits_leaves_them_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    for file in (networks.folder() / "bench").iterdir():
        shutil.copy(file, tmp_path / "bench" / f"whole-{file.name}")
        some = [benchmark for benchmark in json.loads(file.read_text()) if benchmark["weight_bits"] == 4]
        (tmp_path / "bench" / f"four-{file.name}").write_text(json.dumps(some))
    first = speed.names(tmp_path)[0]
    assert first.startswith("four")
    assert {timing.name for timing in formulas.measured(4, 4, tmp_path)} == {first}
    (other,) = {timing.name for timing in formulas.measured(1, 1, tmp_path)}
    assert other.startswith("whole")


def test_the_nearest_timing_to_xnor_nets_example_is_its_own_shape() -> None:
    near = formulas.nearest(LayerModel(), formulas.measured(1, 1, networks.folder())).conv
    assert (near.channels, near.filters, near.size, near.kernel) == (256, 256, 14, 3)


def test_the_plane_holds_each_kind_of_number_once() -> None:
    timings = formulas.measured(1, 1, networks.folder())
    points = formulas.points(LayerModel(channels=64), timings)
    assert [p.kind for p in points].count("measured") == len(timings)
    assert [round(p.y, 2) for p in points if p.kind == "candidate"] == [122.88, 121.52, 122.88]
    assert [(p.x, p.y) for p in points if p.kind == "published"] == [(2304, formulas.XNOR_NET_SPEEDUP)]
    assert [p.y for p in points if p.kind == "chosen"] == [estimate(LayerModel(channels=64)).speedup]


def test_the_vectors_line_does_not_depend_on_the_filter() -> None:
    (line,) = [curve for curve in formulas.speed_curves(LayerModel()) if curve.other]
    assert list(line.y) == pytest.approx([32 / 3] * len(line.y))


# ---- the same numbers from the snippets


@pytest.mark.parametrize(("model", "configuration", "over"), EXAMPLES, ids=str)
def test_the_python_snippet_prints_what_the_page_shows(
    model: LayerModel, configuration: Configuration, over: str
) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(formulas.python(model, configuration, over), {})
    lines = said.getvalue().splitlines()
    result, cost = estimate(model), network_cost(configuration)
    assert lines[0].split() == [str(result.memory_ratio), str(result.speedup)]
    drawn = [
        f"{curve.label}; {value}; {ratio}; {speedup}"
        for curve, times in zip(*formulas.curves(model, over), strict=True)
        for value, ratio, speedup in zip(curve.x, curve.y, times.y, strict=True)
    ]
    assert lines[1 : 1 + len(drawn)] == drawn
    end = lines.index(f"{cost.bytes.total} {cost.ratio} {cost.operations.network_speedup}")
    steps = [f"{step.part} {step.bytes} {step.float_bytes} {step.ratio}" for step in cost.steps]
    assert lines[end - len(steps) : end] == steps
    timings = formulas.measured(model.weight_bits, model.activation_bits, networks.folder())
    shares = {tuple(line.split()[:2]): float(line.split()[2]) for line in lines[end + 1 :]}
    for timing in timings:
        layer = layer_name(timing.conv)
        assert shares[layer, "packed"] == pytest.approx(timing.packed_share)
        assert shares[layer, "torch-fp32"] == pytest.approx(timing.float_share)


@pytest.mark.parametrize(("model", "configuration", "_over"), EXAMPLES[::2], ids=str)
def test_the_commands_print_what_the_page_shows(model: LayerModel, configuration: Configuration, _over: str) -> None:
    formula, cost, table = (
        json.loads(subprocess.run([*line, "--json"], capture_output=True, text=True, check=True).stdout)
        for line in map(runnable, formulas.command(model, configuration).splitlines())
    )
    assert formula == estimate(model).to_dict()
    assert cost == network_cost(configuration).to_dict()
    first = speed.names(networks.folder())[0]
    rows = [row for row in table if row["set"] == first]
    timed = {(row["layer"], row["weight_bits"], row["activation_bits"]): row["times_faster"] for row in rows}
    for timing in formulas.measured(1, 1, networks.folder()):
        ratios = timed[speed.layer_name(timing.conv), 1, 1]
        assert ratios["torch-fp32"] == pytest.approx(timing.times_faster)


def runnable(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "cfcore"]
    return [sys.executable, *words[1:]]
