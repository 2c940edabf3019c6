"""The explorer's page, run without a browser on the shipped networks."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import screen
from screen import CHOSEN, ROOT, Bench, chosen, headlines, press, text
from streamlit.testing.v1 import AppTest

from app import presets
from app.services import networks, tasks
from app.services.jobs import Status
from cfcore.config import Configuration
from cfcore.cost import network_cost

pytestmark = pytest.mark.usefixtures("bench")
DEFAULT = Configuration()
page = functools.partial(screen.page, "explorer")


def offered(app: AppTest) -> list[str]:
    return [box.key for box in app.selectbox]


# ---- what opens


def test_it_opens_on_a_trained_network_with_no_click() -> None:
    app = page()
    entry = networks.trained(DEFAULT)
    floats, alone = networks.trained(DEFAULT.float_reference), networks.trained(DEFAULT.with_group_size(1))
    assert entry is not None
    assert floats is not None
    assert alone is not None
    accuracy, under = headlines(app)["Accuracy"]
    assert accuracy == f"{entry.accuracy:.2f} %"
    against_float, against_alone = under.split(", ")
    assert float(against_float.split()[0].replace("−", "-").replace("±", "")) == pytest.approx(
        entry.accuracy - floats.accuracy, abs=0.006
    )
    assert against_alone.endswith("against m = 1")
    cost = network_cost(DEFAULT)
    assert headlines(app)["Memory"] == (f"{cost.bytes.total:,} bytes", f"{cost.ratio:.1f}× less than float")
    assert headlines(app)["Bits a weight"] == (f"{1 + 32 / (16 * 64 * 9):.3f}", "layer convs.18")
    assert not app.warning
    assert not app.error


def test_every_number_says_where_it_comes_from() -> None:
    said = text(page())
    assert "**Measured** for the project, on the stored file" in said
    assert "16 filters × 576 weights share one 32-bit factor: 1 + 32 / (16 × 576) = 1.003 bits a weight" in said
    assert said.count("**Computed**") >= 2


@pytest.mark.parametrize(
    "address", [{"group_size": "layer"}, {"method": "binary-weight"}, {"method": "float"}], ids=str
)
def test_the_code_shown_finds_the_numbers_again(address: dict[str, str]) -> None:
    app = page(**address)
    command, python = (code.value for code in app.code)
    configuration = app.session_state["chosen"][0]
    assert command.splitlines() == [networks.command(name, configuration) for name in ("evaluate", "cost")]
    shortened = python.replace("load_test_set()", "load_test_set().first(100)")  # all of them take too long here
    done = subprocess.run([sys.executable, "-c", shortened], capture_output=True, text=True, cwd=ROOT, check=True)
    size, accuracy = done.stdout.split()
    assert headlines(app)["Memory"][0] == f"{int(size):,} bytes"
    shown = float(headlines(app)["Accuracy"][0].split()[0])
    assert abs(float(accuracy) - shown) < 300 / 100**0.5 / 2  # three standard deviations of 100 images


def test_without_a_network_only_the_cost_is_shown_as_code() -> None:
    command, python = page(model="resnet56").code
    assert command.value == networks.command("cost", Configuration(model="resnet56"))
    assert "evaluate" not in python.value


def test_sharing_more_changes_every_number() -> None:
    app = page()
    before = headlines(app)
    app.selectbox(key="group_size").set_value("layer").run()
    entry = networks.trained(DEFAULT.with_group_size("layer"))
    assert entry is not None
    assert headlines(app)["Accuracy"][0] == f"{entry.accuracy:.2f} %"
    assert headlines(app)["Memory"][0] == f"{network_cost(DEFAULT.with_group_size('layer')).bytes.total:,} bytes"
    assert headlines(app)["Bits a weight"][0] == f"{1 + 32 / (64 * 576):.3f}"
    assert headlines(app)["Memory"] != before["Memory"]


def test_the_chosen_layer_decides_bits_and_speed() -> None:
    app = page(layer="convs.1")
    assert headlines(app)["Speed"][1] == "as torch fp32, in layer convs.1"
    assert headlines(app)["Bits a weight"] == (f"{1 + 32 / (16 * 144):.3f}", "layer convs.1")


# ---- controls


def test_only_controls_that_mean_something_are_shown() -> None:
    always = ["model", "method"]
    full = [*always, "weight_bits", "activation_bits", "group_size", "order", "source", "layer"]
    assert offered(page()) == full
    assert offered(page(method="float")) == [*always, "layer"]
    assert offered(page(method="binary-weight")) == [name for name in full if name != "activation_bits"]
    assert offered(page(group_size="1")) == [name for name in full if name != "order"]


def test_a_link_reproduces_the_screen() -> None:
    app = page(method="binary-weight", group_size="layer", layer="convs.3", source="post-training", weight_bits="4")
    values = {box.key: box.value for box in app.selectbox}
    assert values == {
        "model": "resnet20",
        "method": "binary-weight",
        "weight_bits": 4,
        "group_size": "layer",
        "source": "post-training",
        "layer": "convs.3",
    }


def test_an_unusual_group_size_joins_those_on_offer() -> None:
    app = page(group_size="5")
    assert app.selectbox(key="group_size").value == 5
    assert not app.warning
    app.selectbox(key="group_size").set_value(8).run()
    assert app.selectbox(key="group_size").value == 8


def test_nonsense_in_the_address_is_named_and_the_page_still_works() -> None:
    app = page(group_size="banana", weight_bits="9", model="lenet", layer="convs.99")
    said = "\n".join(warning.value.replace("\\", "") for warning in app.warning)
    for sentence in (
        "model = 'lenet' is not allowed: use one of resnet20,",
        "weight_bits = 9 is not allowed: use a whole number from 1 to 8.",
        "group_size = 'banana' is not allowed: use a whole number from 1 to 64,",
        "layer = 'convs.99' is not allowed: use convs.1 to convs.18.",
    ):
        assert sentence in said
    assert headlines(app) == headlines(page())


def test_a_refusal_stays_until_something_is_chosen() -> None:
    app = page(group_size="banana")
    app.run()
    assert len(app.warning) == 1
    app.selectbox(key="group_size").set_value(1).run()
    assert not app.warning


def test_a_narrower_model_drops_a_group_size_it_cannot_have() -> None:
    app = page(model="vgg_small", group_size="512")
    assert app.selectbox(key="group_size").value == 512
    app.selectbox(key="model").set_value("resnet20").run()
    assert not app.exception
    assert app.selectbox(key="group_size").value == DEFAULT.group_size


# ---- methods


def test_a_float_network_has_nothing_to_share() -> None:
    app = page(method="float")
    cost = network_cost(DEFAULT.float_reference)
    assert headlines(app)["Memory"] == (f"{cost.bytes.total:,} bytes", "")
    assert headlines(app)["Bits a weight"][0] == "32.000"
    assert headlines(app)["Speed"][0] == "—"


def test_float_activations_are_said_to_bring_no_speed() -> None:
    app = page(method="binary-weight")
    assert headlines(app)["Speed"][0] == "—"
    assert "no bits can be counted: smaller, but not faster" in text(app)


# ---- networks that are not trained


def test_an_untrained_configuration_says_so_and_offers_another(bench: Bench) -> None:
    app = page(weight_bits="3")
    assert headlines(app)["Accuracy"][0] == "not trained"
    assert headlines(app)["Memory"][0] == f"{network_cost(Configuration(weight_bits=3)).bytes.total:,} bytes"
    assert bench.asked == []  # nothing runs that nobody asked for
    press(app, "Quantize after training")
    assert app.selectbox(key="source").value == "post-training"
    (task,) = set(bench.asked)
    assert task == tasks.PostTraining(Configuration(weight_bits=3, source="post-training"), networks.folder())


def test_a_running_job_shows_how_far_it_is_and_can_be_stopped(bench: Bench) -> None:
    bench.stands["post-training"] = Status("running", share=0.5, step="quantizing")
    app = page(source="post-training")
    assert headlines(app)["Accuracy"][0] == "…"
    assert "Stop" in [button.label for button in app.button]
    press(app, "Stop")
    app.run()
    assert headlines(app)["Accuracy"][0] == "—"
    assert "Stopped before it was done." in text(app)
    bench.stands.clear()
    press(app, "Start again")
    assert headlines(app)["Accuracy"][0] == "…"


def counted(configuration: Configuration, correct: int, images: int) -> tasks.Counted:
    entry = networks.trained(DEFAULT)
    assert entry is not None
    stored = networks.stored(entry)
    network = type(stored)(configuration, stored.tensors)
    return tasks.Counted(network, correct, images, "packed")


def test_a_first_result_is_shown_while_the_rest_is_counted(bench: Bench) -> None:
    configuration = Configuration(source="post-training")
    first = counted(configuration, 123, 1_000)
    bench.stands["post-training"] = Status("running", share=0.5, step="counting", value=first)
    app = page(source="post-training")
    assert headlines(app)["Accuracy"][0] == "12.30 % so far"
    assert "Of the first 1,000 test images" in text(app)
    assert "has to be trained" in text(app)  # so near to chance


def test_a_result_is_compared_with_float_and_then_with_m_1(bench: Bench) -> None:
    configuration = Configuration(source="post-training")
    bench.stands["post-training"] = Status("done", value=counted(configuration, 6_000, 10_000))
    bench.stands["reference"] = Status("done", value=counted(configuration.with_group_size(1), 6_500, 10_000))
    app = page(source="post-training")
    floats = networks.trained(DEFAULT.float_reference)
    assert floats is not None
    value, under = headlines(app)["Accuracy"]
    assert value == "60.00 %"
    assert under == f"−{floats.accuracy - 60:.2f} against float, −5.00 against m = 1"
    assert "**Measured here**" in text(app)
    assert "has to be trained" not in text(app)


def test_a_failure_is_one_sentence_and_can_be_repeated(bench: Bench) -> None:
    bench.stands["post-training"] = Status("failed", problem="The worker process ended unexpectedly. Start it again.")
    app = page(source="post-training")
    assert "The worker process ended unexpectedly." in text(app)
    assert "Start again" in [button.label for button in app.button]


def test_a_model_without_any_network_says_how_to_get_one(bench: Bench) -> None:
    for source in ("trained", "post-training"):
        app = page(model="resnet56", source=source)
        assert headlines(app)["Accuracy"][0] == "not trained"
        assert "`python -m cfcore train --model resnet56 --method float`" in text(app)
    assert bench.asked == []


# ---- files that are missing or damaged


def test_a_missing_manifest_is_one_sentence(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    app = page()
    assert [error.value for error in app.error] == [
        f"There is no manifest.json in {folder.name}/. Restore pretrained/ from the project, "
        "or name its folder in CFCORE_PRETRAINED."
    ]
    assert headlines(app)["Memory"][0] == f"{network_cost(DEFAULT).bytes.total:,} bytes"


def test_a_foreign_file_is_one_sentence(folder: Path) -> None:
    (folder / f"{DEFAULT.name}.safetensors").write_bytes(b"something else")
    (error,) = page().error
    assert "its sha256 differs" in error.value


def test_without_a_shipped_measurement_it_says_so(folder: Path) -> None:
    app = page()
    assert headlines(app)["Speed"][0] == "—"
    assert "No measurement of this layer (64,8,64,3,1) at 1 × 1 bits is shipped." in text(app)


def test_a_damaged_measurement_is_one_sentence(folder: Path) -> None:
    (folder / "bench" / "one.json").write_text("{}")
    (error,) = page().error
    assert "one.json is no file of timings, or damaged" in error.value


# ---- speed


def document(packed: float, int8: float) -> dict[str, object]:
    rows = [
        {
            "layer": "64,8,64,3,1",
            "batch": 1,
            "backend": backend,
            "stage": "layer",
            "threads": 1,
            "median_s": 40e-6 / times,
            "p10_s": 39e-6 / times,
            "p90_s": 42e-6 / times,
            "runs": 30,
            "gmacs": 1.0,
            "speedup_vs_fp32": times,
            "of_port_bound": None,
            "matches_reference": True,
        }
        for backend, times in (("packed", packed), ("torch-fp32", 1.0), ("torch-int8", int8))
    ]
    machine = {"cpu": "A CPU", "cores": 2, "vectors": "512-bit", "python": "3", "numba": "0", "torch": "2"}
    conditions = {"weight_bits": 1, "activation_bits": 1, "threads": 1, "port_bound": 1.0, "jit_s": 0.0}
    return {"machine": machine, **conditions, "rows": rows, "notes": ["A note."]}


def test_a_shipped_measurement_is_there_at_once_and_labelled(folder: Path) -> None:
    (folder / "bench" / "one.json").write_text(json.dumps([document(packed=5.0, int8=2.0)]))
    app = page()
    assert headlines(app)["Speed"] == ("5.0× as fast", "as torch fp32, in layer convs.18")
    said = text(app)
    assert "8.0 µs (10th to 90th percentile 7.8 to 8.4)" in said
    assert "Nothing timed beside it is faster." in said
    assert "Measured here" not in said


def test_where_it_does_not_pay_it_says_so(folder: Path) -> None:
    (folder / "bench" / "one.json").write_text(json.dumps(document(packed=2.0, int8=3.0)))
    assert "Packed bits do not pay here: torch int8 is 1.5× as fast." in text(page())


def test_a_layer_timed_on_this_machine_replaces_the_shipped_timing(folder: Path, bench: Bench) -> None:
    task = tasks.Timing("64,8,64,3,1", 1, 1)
    bench.request(task, "another page")
    bench.stands[task.kind] = Status("done", value=document(packed=7.0, int8=1.0))
    app = page()
    assert headlines(app)["Speed"][0] == "7.0× as fast"
    assert "**Measured here**" in text(app)


def test_charts_can_be_read_aloud() -> None:
    app = page()
    charts = app.get("plotly_chart")
    assert len(charts) == 3
    assert all(len(chart.proto.alt) > 20 for chart in charts)


def test_a_preset_sets_the_controls_and_an_edit_makes_it_custom() -> None:
    app = page(weight_bits="3", order="sorted")
    assert pressed(app) == [presets.CUSTOM]
    assert not app.button_group  # would keep a value, and send it again with the next control
    for name, settings in presets.PRESETS.items():
        app.button(key=f"preset-{name}").click().run()
        assert pressed(app) == [name]
        shown = app.session_state["chosen"][0]
        assert shown == networks.canonical(Configuration.of(**settings)), name
    app.selectbox(key="group_size").set_value(2).run()
    assert pressed(app) == [presets.CUSTOM]


def pressed(app: AppTest) -> list[str]:
    """What is marked as chosen among the presets."""
    custom = [block.value.removeprefix(f"{CHOSEN} ") for block in app.markdown if block.value.startswith(CHOSEN)]
    return [key.removeprefix("preset-") for key in chosen(app)] + custom


def test_an_address_with_names_that_no_control_can_have() -> None:
    app = page(**{"": "1", "$$ID-x": "2", "group_size": "4"})
    assert not app.warning
    assert app.session_state["chosen"][0].group_size == 4


def test_an_address_names_no_inner_state() -> None:
    app = page(session="1", chosen="2", asked="3", kept="4", **{"preset-Float": "5"})
    app.run()
    assert not app.warning


def test_what_was_chosen_survives_an_address_that_is_lost(bench: Bench) -> None:
    app = page(method="binary-weight", group_size="4")
    app.query_params.clear()  # as when a page is left before its controls are drawn
    app.run()
    assert app.selectbox(key="group_size").value == 4
    assert app.query_params == {"method": "binary-weight", "group_size": "4"}
