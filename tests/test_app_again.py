"""Every page beside the command line: the command that a page shows prints the numbers that the page shows.

Ten configurations, drawn at random: five that ship, five quantized after training. Both sides count on the same first
images; that the accuracies which ship are those of all 10,000 is held by `test_pretrained`.
"""

import functools
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

import cfcore.data
import cfcore.evaluate
from app.address import SETTINGS
from app.services import jobs, kept, networks, tasks
from app.services.jobs import Status
from app.services.speed import timed_as
from app.views import words_speed
from cfcore.__main__ import app as command_line
from cfcore.architecture import architecture, canonical
from cfcore.config import QUANTIZED_BITS, Configuration
from cfcore.manifest import PRETRAINED, find

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
    bench, images = Bench(), cfcore.data.load_test_set().first(IMAGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "worker", lambda: bench)
        patch.setattr(cfcore.data, "load_test_set", lambda *_: images)
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
    (shown,) = [block.value for block in app.code if block.value.startswith("python -m cfcore")]
    return [run(command) for command in shown.splitlines()]


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
    counted, cost = printed(app)
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
    if said == "—":  # no such timing ships
        return
    table = next(block.value for block in app.code if "bench table" in block.value).splitlines()[0]
    timed = timed_as(drawn)  # what has no activation bits is timed as its like that has
    wanted = {"layer": "16,32,16,3,1", "weight_bits": timed.weight_bits, "activation_bits": timed.activation_bits}
    (row,) = [row for row in run(table) if wanted.items() <= row.items()]
    assert said == f"{words_speed.factor(row['times_faster']['torch-fp32'])} as fast"
