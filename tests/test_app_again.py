"""Every page beside the command line: the command that a page shows prints the numbers that the page shows.

Ten configurations, drawn at random: five that ship, five quantized after training; and each lesson's own. Both sides
count on the same first images; that the accuracies which ship are those of all 10,000 is held by `test_pretrained`.
"""

import contextlib
import functools
import io
import json
import random
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import screen
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

import cfcore.evaluate
import cfcore.images
from app.address import SETTINGS
from app.figures.look import factor
from app.services import jobs, kept, lessons, networks, tasks
from app.services.jobs import Status
from app.services.speed import timed_as
from app.views import words_lessons, words_whatif
from app.views.words import signed
from cfcore.__main__ import app as command_line
from cfcore.architecture import architecture, canonical
from cfcore.config import QUANTIZED_BITS, Configuration
from cfcore.manifest import PRETRAINED, find
from cfcore.timings import layer_name

ROOT = Path(__file__).parents[1]
IMAGES = 300
DRAW = random.Random(2005_09034)
SHIPPED = DRAW.sample([e.configuration for e in networks.shipped() if e.configuration.method != "float"], 5)


def quantized(method: str) -> Configuration:
    settings: dict[str, Any] = {"method": method, "source": "post-training", "weight_bits": DRAW.choice(QUANTIZED_BITS)}
    if method == "xnor":
        settings["activation_bits"] = DRAW.choice(QUANTIZED_BITS)
    settings["group_size"] = DRAW.choice([1, 2, 4, 8, 16, 32, "layer"])
    settings["order"] = DRAW.choice(["index", "sorted"]) if settings["group_size"] not in (1, "layer") else "index"
    return canonical(Configuration.of(**settings))


DRAWN = [*SHIPPED, quantized("binary-weight"), *(quantized("xnor") for _ in range(4))]


class Bench:
    """A worker whose tasks are done at once, here."""

    def __init__(self) -> None:
        self.done: dict[jobs.Task, Any] = {}

    def look(self, task: jobs.Task, session: str) -> Status | None:
        return Status("done", value=self.done[task]) if task in self.done else None

    def request(self, task: jobs.Task, session: str, again: bool = False) -> Status:
        if task not in self.done:
            self.done[task] = task.run(lambda *_: None)
        return Status("done", value=self.done[task])


@pytest.fixture(scope="module", autouse=True)
def _few_images_and_one_worker() -> Iterator[None]:
    """Both sides see the first images alone; what is quantized for one of them is the same for the other."""
    bench, images = Bench(), cfcore.images.load_test_set().first(IMAGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "worker", lambda: bench)
        patch.setattr(cfcore.images, "load_test_set", lambda *_: images)
        patch.setattr(tasks, "test_set", lambda *_: images)  # the worker's copy, which other modules may have filled
        patch.setattr(networks, "TEST_IMAGES", IMAGES)
        patch.setattr(kept, "PART", IMAGES // 3)
        for name in ("NETWORKS", "ANSWERS"):  # of other modules' images
            patch.setattr(kept, name, kept.Kept(200))
        obtain = functools.cache(lambda configuration, folder: _obtain(configuration, folder))
        patch.setattr(cfcore.evaluate, "obtain", lambda c, folder=PRETRAINED, progress=None: obtain(c, folder))
        yield


_obtain = cfcore.evaluate.obtain


def page(view: str, configuration: Configuration, **more: str) -> AppTest:
    settings = {name: str(getattr(configuration, name)) for name in SETTINGS}
    app = screen.page(view, timeout=120, **settings, **more)
    assert not app.error
    assert app.session_state["chosen"][0] == configuration
    return app


def numbers(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value.replace("−", "-") for metric in app.metric}


def printed(app: AppTest) -> list[Any]:
    """What the commands shown print, each as the document of --json."""
    shown, _ = [block.value for block in app.code]
    return [run(command) for command in shown.splitlines() if not command.startswith("#")]


def run(command: str) -> Any:
    result = CliRunner().invoke(command_line, [*shlex.split(command)[3:], "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(params=DRAWN, ids=lambda configuration: f"{configuration.name}")
def drawn(request: pytest.FixtureRequest) -> Configuration:
    return request.param  # type: ignore[no-any-return]


def test_they_are_ten() -> None:
    assert len(set(DRAWN)) == 10


def test_explorer(drawn: Configuration) -> None:
    app = page("explorer", drawn)
    counted, cost, *timed = printed(app)
    layer = layer_name(architecture(drawn).convs[-1])
    for table in timed:
        at = (layer, drawn.weight_bits, drawn.activation_bits)
        (row,) = [row for row in table if (row["layer"], row["weight_bits"], row["activation_bits"]) == at]
        assert numbers(app)["Speed"] == f"{factor(row['times_faster']['torch-fp32'])} as fast"
    assert bool(timed) == (numbers(app)["Speed"] != "—")
    entry = find(drawn)
    accuracy = counted["accuracy"] if entry is None else entry.accuracy
    assert numbers(app)["Accuracy"] == f"{accuracy:.2f} %"
    assert counted["images"] == IMAGES
    if entry is not None:  # of so many images its share may be off by three deviations
        assert abs(counted["accuracy"] - accuracy) <= 3 * (accuracy * (100 - accuracy) / IMAGES) ** 0.5
    assert numbers(app)["Memory"] == f"{cost['bytes']['total']:,} bytes"
    assert f"{cost['ratio']:.1f}× less than float" in [metric.delta for metric in app.metric]


def test_scaling_factors(drawn: Configuration) -> None:
    name = architecture(drawn).convs[4].name
    app = page("scaling", drawn, layer=name, group="0")
    (found,) = printed(app)
    (layer,) = [layer for layer in found["layers"] if layer["layer"] == name]
    assert numbers(app)[f"α of group 0 in {name}"] == f"{layer['alphas'][0]:.5f}"


def test_bitwise_convolution(drawn: Configuration) -> None:
    conv = architecture(drawn).convs[4]
    app = page("bits", drawn, layer=conv.name, bits_image="7", bits_filter="5")
    if drawn.method != "xnor":
        assert not app.metric  # float activations have no bits to count
        return
    (found,) = printed(app)
    whole = found["all_channels"]
    assert numbers(app)[f"All {conv.channels} channels"] == f"{whole['sum']}"
    assert numbers(app)["Times the scaling factor"] == f"{whole['scaled']:.4f}"
    assert numbers(app)["These 8 channels"] == f"{found['sum']}"


def test_cost_model(drawn: Configuration) -> None:
    app = page("model", drawn, cost_kernel="5", cost_channels="96")
    formula, cost, _ = printed(app)
    assert numbers(app)["Memory"] == f"{formula['memory_ratio']:.2f}× less"
    assert numbers(app)["Operations"] == f"{formula['speedup']:.2f}× fewer"
    (ledger,) = [table.value for table in app.table if "in float" in table.value]
    assert ledger["bytes"].tolist()[-1] == f"{cost['bytes']['total']:,}"


def test_predictions(drawn: Configuration) -> None:
    app = page("predictions", drawn)
    (found,) = printed(app)
    assert found["images"] == IMAGES
    assert numbers(app)["Right before, wrong now"] == f"{found['now_wrong']:,}"
    assert numbers(app)["Wrong before, right now"] == f"{found['now_right']:,}"


def test_kernel_speed(drawn: Configuration) -> None:
    app = page("speed", drawn, layer="convs.1")
    said = numbers(app).get("Against fp32", "—")
    table = next((block.value for block in app.code if "bench table" in block.value), "python -m cfcore bench table")
    timed = timed_as(drawn)  # what has no activation bits is timed as its like that has
    layer = layer_name(architecture(drawn).convs[1])
    wanted = {"layer": layer, "weight_bits": timed.weight_bits, "activation_bits": timed.activation_bits}
    rows = [row for row in run(table.splitlines()[0]) if wanted.items() <= row.items()]
    assert [f"{factor(row['times_faster']['torch-fp32'])} as fast" for row in rows] == [said] * len(rows)
    assert bool(rows) == (said != "—")  # no number, where no timing at these bits ships


def test_what_if(drawn: Configuration) -> None:
    """A is the configuration as trained, B its counterpart; accuracy is of all test images, so held elsewhere."""
    app = page("whatif", drawn)
    (frame,) = app.table
    shown = {row[""].split(" (")[0]: row["A"] for row in frame.value.to_dict("records")}
    cost = next(document for document in printed(app) if "bytes" in document)
    layers = [layer for layer in cost["layers"] if layer["quantized"]]
    kept = sum(8 * layer["bytes"][part] for layer in layers for part in ("weights", "scales", "order"))
    weights = sum(layer["filters"] * layer["weights_per_filter"] for layer in layers)
    expected = {
        "bytes": cost["bytes"]["total"],
        "ratio": cost["ratio"],
        "bits_per_weight": kept / weights,
        "scaling_factors": sum(layer["groups"] for layer in layers),
        "float_macs": cost["operations"]["float_macs"],
        "bitwise_macs": cost["operations"]["binary_macs"],
        "fewer_operations": cost["operations"]["network_speedup"],
    }
    for name, value in expected.items():
        assert shown[words_whatif.QUANTITIES[name]] == words_whatif.number(name, value)


# ---- the lessons, which name their own networks


def revealed(name: str) -> tuple[AppTest, str, list[Any]]:
    """A lesson with its answer. -> the page, the answer, what its commands print"""
    app = screen.page("lessons", timeout=120, lesson=str(list(words_lessons.TITLES).index(name) + 1))
    app.radio[0].set_value(app.radio[0].options[0])
    screen.press(app, words_lessons.SHOW)
    return app, app.metric[0].value, [] if name in ("bits", "sharing") else printed(app)


def python(app: AppTest) -> str:
    """What the program shown prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(app.code[-1].value, {})
    return said.getvalue()


def test_lesson_of_bytes() -> None:
    app, answer, (cost,) = revealed("bytes")
    assert answer == f"{cost['ratio']:.1f}×"
    assert python(app).splitlines()[-1].split()[0] == f"{cost['bytes']['total']}"


def test_lesson_of_sharing() -> None:
    app, answer, _ = revealed("sharing")
    tables, scales = app.code[0].value.splitlines()
    said = CliRunner().invoke(command_line, shlex.split(tables)[3:], catch_exceptions=False).stdout
    (row,) = [line for line in said.splitlines() if "`resnet20-binary-weight-w1a32-layer`" in line]
    assert f"| {answer.removesuffix(' points')} ±" in row
    fits = [layer["fit"] for layer in run(scales)["layers"]]
    more = 100 * sum(fit["by_order"]["index"] for fit in fits) / sum(sum(fit["alone"]) for fit in fits)
    assert f"{more:.1f} % larger" in screen.text(app)
    _, paired, _, added, whole = python(app).splitlines()
    assert answer == f"{signed(float(paired.split()[0]))} points"
    mean, _, chance = map(float, added.split())  # where a shortcut is added
    assert f"{signed(mean)} points, with an interval of ±{chance:.2f}, which" in screen.text(app)
    assert float(whole) == pytest.approx(more)


def test_lesson_of_bits() -> None:
    app, answer, _ = revealed("bits")
    assert python(app).split()[-2] == answer.replace("−", "-")


def test_lesson_of_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "PART", IMAGES)  # as many as the command is shown
    monkeypatch.setattr(kept, "ANSWERS", kept.Kept(20))
    app, answer, counted = revealed("rounding")
    assert answer == f"{counted[0]['accuracy']:.1f} %"
    said = [float(line.split()[-1]) for line in python(app).splitlines()]
    assert said == [document["accuracy"] for document in counted]


def test_lesson_of_speed() -> None:
    app, answer, (rows,) = revealed("speed")
    timed = lessons.timed()[0]
    here = [row for row in rows if row["layer"] == timed.asked.layer]
    (asked,) = [row for row in here if (row["weight_bits"], row["activation_bits"]) == lessons.TIMED_BITS]
    fastest = "packed" if asked["pays"] else min(asked["times_faster"], key=asked["times_faster"].get)
    assert answer == words_lessons.TIMED_AS[fastest]
    assert len(python(app).splitlines()) == len(here) == len(app.table[0].value)


def test_lesson_of_counting() -> None:
    app, answer, (candidate, example, vectors, rows) = revealed("counting")
    shown = [row["times"] for row in app.table[0].value.to_dict("records")]
    assert shown[1] == f"{candidate['speedup']:.2f}×"
    assert shown[2] == f"{example['speedup']:.2f}×"
    assert shown[3] == f"{vectors['speedup']:.2f}×"
    times = [row["times_faster"]["torch-fp32"] for row in rows if row["weight_bits"] * row["activation_bits"] == 1]
    assert answer in [f"{factor:.1f}×" for factor in times]
    assert answer.removesuffix("×") in python(app)
