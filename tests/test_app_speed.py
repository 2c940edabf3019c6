"""The kernel speed page, run without a browser: shipped timings, its own, and what cannot be timed."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import screen
from screen import Bench, document, headlines, press, text
from streamlit.testing.v1 import AppTest

from app.services import networks
from app.services import speed as timings
from app.services.jobs import Status
from app.services.speed_tasks import NetworkTiming, Timing
from cfcore.config import Configuration
from cfcore.crossover import crossovers
from cfcore.manifest import PRETRAINED
from cfcore.timings import Benchmark

ROOT = Path(__file__).parents[1]
page = functools.partial(screen.page, "speed")
INTEL = Benchmark.read(PRETRAINED / "bench" / "intel-amx.json")


@pytest.fixture(autouse=True)
def _another_machine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "_cpu", lambda: "some other processor")
    monkeypatch.setattr(timings, "cores", lambda: 4)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for sets of timings, with no network."""
    monkeypatch.setenv("CFCORE_PRETRAINED", str(tmp_path))
    (tmp_path / "bench").mkdir()
    return tmp_path


def charts(app: AppTest) -> dict[str, str]:
    """What each chart says to those who cannot see it, by its first word."""
    return {chart.proto.alt.split()[0].strip("."): chart.proto.alt for chart in app.get("plotly_chart")}


def test_it_opens_on_shipped_timings_with_no_click(bench: Bench) -> None:
    app = page()
    part = next(b for b in INTEL if (b.weight_bits, b.activation_bits) == (1, 1) and b.of_layer("64,8,64,3,1"))
    rows = part.of_layer("64,8,64,3,1")
    assert rows is not None
    packed, fp32, rival, product = (
        rows.find("packed", "layer"),
        rows.find("torch-fp32", "layer"),
        rows.rival(),
        rows.find("packed", "product"),
    )
    assert packed is not None
    assert fp32 is not None
    assert rival is not None
    assert product is not None
    assert product.of_port_bound is not None
    shown = headlines(app)
    assert shown["Against fp32"] == (
        f"{fp32.median_s / packed.median_s:.1f}× as fast",
        "convs.18, 1\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}1 bits",
    )
    assert shown["Against the fastest other"][0] == f"{rival.median_s / packed.median_s:.1f}× as fast"
    assert shown["Of the port bound"] == (f"{100 * product.of_port_bound:.0f} %", "the product alone")
    assert "**Measured** for the project and shipped, set intel-amx: Intel(R) Xeon(R) Processor" in text(app)
    assert set(charts(app)) == {"Time", "Roofline", "Map"}
    assert bench.asked == []  # nothing is timed that nobody asked for


def test_who_wins_where_is_counted_in_the_records() -> None:
    said = text(page())
    for name in ("intel-amx", "amd-zen4"):
        found = crossovers(Benchmark.read(PRETRAINED / "bench" / f"{name}.json"))
        lost = [c for c in found if not c.pays]
        assert f"**{name}**" in said
        assert f"Of the {len(lost)} cells where it loses" in said
    each = {
        name: crossovers(Benchmark.read(PRETRAINED / "bench" / f"{name}.json")) for name in ("intel-amx", "amd-zen4")
    }
    pays = [{c.layer: c.pays for c in found if (c.weight_bits, c.activation_bits) == (2, 2)} for found in each.values()]
    both = pays[0].keys() & pays[1].keys()
    intel, amd = (sum(those[layer] for layer in both) for those in pays)
    assert f"of the {len(both)} layers timed on both" in said
    assert f"packed is the fastest in {amd} on amd-zen4 but in {intel} on intel-amx" in said


def test_a_machine_is_chosen_for_all_that_is_shown() -> None:
    app = page(machine="amd-zen4")
    assert "set amd-zen4: AMD EPYC" in text(app)
    assert "amd-zen4" in charts(app)["Map"]
    (table,) = app.table
    assert "vgg_small" in set(table.value["network"])


def test_another_set_is_named_where_the_asked_one_has_none() -> None:
    app = page(model="vgg_small", layer="convs.4", weight_bits="2", activation_bits="2", machine="intel-amx")
    assert "intel-amx has no timing of it; this one is from amd-zen4." in text(app)


@pytest.mark.parametrize(("timed", "key"), [("ResNet-18", "resnet18"), ("VGG-16", "vgg16")])
def test_layers_of_imagenet(timed: str, key: str, bench: Bench) -> None:
    app = page(timed=timed)
    box = app.selectbox(key=key)
    assert list(box.options) == list(timings.imagenet(key))
    box.set_value(box.options[-1]).run()
    app.selectbox(key="threads").set_value(3).run()
    press(app, "Measure on this machine")
    assert bench.asked == [Timing(box.options[-1], 1, 1, 3)]


def test_a_typed_shape_is_measured_here(bench: Bench) -> None:
    app = page(timed="own shape", shape="33,9,20,3,2", weight_bits="2")
    assert headlines(app)["Against fp32"][0] == "—"
    assert "No timing of 33,9,20,3,2 at 2\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}1 bits is shipped." in text(app)
    press(app, "Measure on this machine")
    assert bench.asked == [Timing("33,9,20,3,2", 2, 1, 1)]
    bench.stands["timing"] = Status("done", value=Benchmark.from_dict(document(packed=2.0, int8=4.0)))
    app.run()
    assert headlines(app)["Against fp32"][0] == "2.0× as fast"
    assert headlines(app)["Against the fastest other"] == ("0.50× as fast", "as torch int8")
    said = text(app).replace("\N{NO-BREAK SPACE}", " ")
    assert "**Packed bits do not pay here**: torch int8 takes 10.0 µs and is 2.0× as fast." in said
    assert "**Measured here**: A CPU" in text(app)


def test_what_was_measured_here_and_what_ships_are_both_to_be_had(bench: Bench) -> None:
    app = page()
    assert app.selectbox(key="machine").value == "this machine"
    assert "Not measured on this machine yet: set intel-amx is shown instead." in text(app)
    press(app, "Measure on this machine")
    bench.stands["timing"] = Status("done", value=Benchmark.from_dict(document(packed=2.0, int8=4.0)))
    app.run()
    assert headlines(app)["Against fp32"][0] == "2.0× as fast"
    app.selectbox(key="machine").set_value("amd-zen4").run()
    assert "set amd-zen4: AMD EPYC" in text(app)
    assert "It was measured on this machine too" in text(app)
    press(app, "Measure on this machine")  # and what comes of it is shown
    assert app.selectbox(key="machine").value == "this machine"
    assert headlines(app)["Against fp32"][0] == "2.0× as fast"


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ("banana", "shape = 'banana' is not allowed: use five whole numbers C,H,F,K,S. Choose 64,56,64,3,1."),
        ("resnet18", "shape = 'resnet18' is not allowed"),
        ("0,9,20,3,2", "channels = 0 is not allowed: use a whole number from 1 to 4,096."),
        ("4096,512,4096,3,1", "use at most 2,000,000,000 multiply-accumulates"),
        ("64,**8**,64,3,1", "shape = '64,**8**,64,3,1' is not allowed: use five whole numbers C,H,F,K,S."),
    ],
)
def test_a_shape_that_cannot_be_timed_is_a_sentence(shape: str, sentence: str) -> None:
    app = page(timed="own shape", shape=shape)
    (warning,) = app.warning
    assert sentence in warning.value.replace("\\", "")
    assert "Measure on this machine" not in [button.label for button in app.button]
    assert "Map" in charts(app)  # the rest of the page is still there


def test_a_whole_network_is_measured_with_its_batch(bench: Bench) -> None:
    app = page(timed="whole network", batch="32")
    b = next(b for b in INTEL if b.rows[0].stage == "network" and b.rows[0].batch == 32)
    packed, fp32 = b.find("packed", "network"), b.find("torch-fp32", "network")
    assert packed is not None
    assert fp32 is not None
    assert headlines(app)["Against fp32"][0] == f"{fp32.median_s / packed.median_s:.1f}× as fast"
    assert headlines(app)["Images per second"][0] == f"{32 / packed.median_s:,.0f}"
    assert "Roofline" not in charts(app)
    press(app, "Measure on this machine")
    assert bench.asked == [NetworkTiming(Configuration(), networks.folder(), 32, 1)]
    bench.stands["timing"] = Status("running", share=0.5, step="round 3 of 30")
    app.run()
    press(app, "Stop")
    app.run()
    assert "The measurement was stopped." in text(app)  # though it still runs, for others or until it heeds
    press(app, "Measure on this machine")
    assert "Stop" in [button.label for button in app.button]
    bench.stands["timing"] = Status("cancelled")
    app.run()
    assert "The measurement was stopped." in text(app)


@pytest.mark.parametrize(
    "settings", [{"source": "post-training"}, {"group_size": "8"}, {"group_size": "8", "order": "sorted"}], ids=str
)
def test_one_network_stands_for_all_of_its_bits(bench: Bench, settings: dict[str, str]) -> None:
    """The trained one: what is quantized after training has other blocks, and groups change no time."""
    app = page(timed="whole network", **settings)
    press(app, "Measure on this machine")
    assert bench.asked == [NetworkTiming(Configuration(), networks.folder(), 1, 1)]
    assert "The trained network is timed" in text(app)


def test_what_another_session_measures_is_watched_and_what_it_stopped_is_not_mourned(bench: Bench) -> None:
    """A watcher wants it too, or it would end when the other leaves."""
    task = Timing("64,8,64,3,1", 1, 1, 1)
    bench.asked.append(task)
    bench.stands["timing"] = Status("running", share=0.5, step="round 3 of 30")
    wanted = []
    bench.request = lambda task, session, again=False: wanted.append(task) or bench.stands["timing"]  # type: ignore
    app = page()
    assert "Stop" in [button.label for button in app.button]
    assert set(wanted) == {task}
    bench.stands["timing"] = Status("cancelled")
    app = page()
    assert "The measurement was stopped." not in text(app)


def test_a_measurement_that_is_refused_says_why(bench: Bench) -> None:
    bench.stands["timing"] = Status("failed", problem="32 other jobs are waiting. Try again in a minute.")
    app = page()
    press(app, "Measure on this machine")
    bench.asked.clear()  # which the worker does not know of
    app.run()
    assert "32 other jobs are waiting." in text(app)
    bench.stands.clear()
    press(app, "Measure on this machine")
    assert "32 other jobs are waiting." not in text(app)


def test_methods_that_count_no_bits_say_so_and_show_one_bit() -> None:
    for method in ("float", "binary-weight"):
        app = page(method=method)
        assert f"Method {method} keeps activations in float, so it counts no bits" in text(app)
        assert headlines(app)["Against fp32"] == headlines(page())["Against fp32"]


def test_nonsense_in_the_address_breaks_nothing() -> None:
    bad = page(timed="lunch", threads="99", machine="none", against="gpu", batch="-1", resnet18="x", shape="x" * 300)
    assert headlines(bad) == headlines(page())


def test_a_link_reproduces_the_screen() -> None:
    app = page(timed="ResNet-18", resnet18="128,28,128,3,1", threads="2", machine="amd-zen4", against="int8")
    values = {key: app.selectbox(key=key).value for key in ("timed", "resnet18", "threads", "machine")}
    assert values == {"timed": "ResNet-18", "resnet18": "128,28,128,3,1", "threads": 2, "machine": "amd-zen4"}
    assert app.segmented_control(key="against").value == "int8"


def test_without_timings_the_page_can_still_measure(folder: Path, bench: Bench) -> None:
    app = page()
    assert headlines(app)["Against fp32"][0] == "—"
    assert charts(app) == {}
    press(app, "Measure on this machine")
    assert len(bench.asked) == 1


def test_damaged_timings_are_one_sentence(folder: Path) -> None:
    (folder / "bench" / "one.json").write_text("[3]")
    (error,) = page().error
    assert error.value.startswith("one.json is no file of timings, or damaged (")


def test_what_is_wrong_or_disturbed_is_said(folder: Path) -> None:
    wrong = document(packed=5.0, int8=2.0)
    rows = [dict(row, matches_reference=False) for row in wrong["rows"]]  # type: ignore[attr-defined]
    (folder / "bench" / "one.json").write_text(json.dumps({**wrong, "rows": rows, "notes": ["A *note* of it."]}))
    app = page()
    said = text(app)
    assert "**A result differed from the reference: trust none.**" in said
    assert {value for value, _ in headlines(app).values()} == {"—"}
    assert "Packed bits pay here" not in said
    assert "A \\*note\\* of it\\." in said
    disturbed = ["Other programs ran too (on 1.5 cores): times are too long."]
    (folder / "bench" / "one.json").write_text(json.dumps({**document(packed=5.0, int8=2.0), "notes": disturbed}))
    assert "**Other programs ran too, so this is uncertain.**" in text(page())
    assert "one has no timing of layers." in said  # which results that are wrong do not count as


def test_the_network_that_stands_in_has_one_bit() -> None:
    xnor = replace(Configuration(), weight_bits=3)
    assert timings.timed_as(xnor) is xnor
    assert timings.timed_as(Configuration.of(model="vgg_small", method="float")) == Configuration(model="vgg_small")
    assert networks.folder() == PRETRAINED
