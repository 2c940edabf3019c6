"""The explorer's page, run without a browser on the shipped networks."""

import functools
import subprocess
import sys

import pytest
import screen
from screen import CHOSEN, ROOT, Bench, chosen, headlines, text
from streamlit.testing.v1 import AppTest

from app import presets
from app.services import networks, snippets
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
    paired = networks.paired(entry)
    assert paired is not None
    assert against_alone == f"{paired.mean:+.2f} against m = 1".replace("-", "−")
    cost = network_cost(DEFAULT)
    assert headlines(app)["Memory"] == (f"{cost.bytes.total:,} bytes", f"{cost.ratio:.1f}× less than float")
    assert headlines(app)["Bits per weight"] == (f"{1 + 32 / (16 * 64 * 9):.3f}", "layer convs.18")
    assert not app.warning
    assert not app.error


def test_every_number_says_where_it_comes_from() -> None:
    said = text(page())
    assert "**Measured** for the project, on the stored file" in said
    assert "16 filters of 576 weights share one 32-bit factor: 1 + 32 / (16 × 576) = 1.003 bits per weight" in said
    assert said.count("**Computed**") >= 2


@pytest.mark.parametrize(
    "address", [{"group_size": "layer"}, {"method": "binary-weight"}, {"method": "float"}], ids=str
)
def test_the_code_shown_finds_the_numbers_again(address: dict[str, str]) -> None:
    app = page(**address)
    command, python = (code.value for code in app.code)
    configuration = app.session_state["chosen"][0]
    lines = [snippets.command(name, configuration) for name in ("evaluate", "cost")]
    assert command.splitlines()[:2] == lines
    assert ["bench table" in line for line in command.splitlines()[2:]] == [True] * (configuration.method == "xnor")
    shortened = python.replace("load_test_set()", "load_test_set().first(100)")  # all of them take too long here
    done = subprocess.run([sys.executable, "-c", shortened], capture_output=True, text=True, cwd=ROOT, check=True)
    size, accuracy = done.stdout.split()
    assert headlines(app)["Memory"][0] == f"{int(size):,} bytes"
    shown = float(headlines(app)["Accuracy"][0].split()[0])
    assert abs(float(accuracy) - shown) < 300 / 100**0.5 / 2  # three standard deviations of 100 images


def test_without_a_network_only_the_cost_is_shown_as_code() -> None:
    command, python = page(model="resnet56").code
    assert command.value.splitlines()[0] == snippets.command("cost", Configuration(model="resnet56"))
    assert "evaluate" not in python.value


def test_sharing_more_changes_every_number() -> None:
    app = page()
    before = headlines(app)
    app.selectbox(key="group_size").set_value("layer").run()
    entry = networks.trained(DEFAULT.with_group_size("layer"))
    assert entry is not None
    assert headlines(app)["Accuracy"][0] == f"{entry.accuracy:.2f} %"
    assert headlines(app)["Memory"][0] == f"{network_cost(DEFAULT.with_group_size('layer')).bytes.total:,} bytes"
    assert headlines(app)["Bits per weight"][0] == f"{1 + 32 / (64 * 576):.3f}"
    assert headlines(app)["Memory"] != before["Memory"]


def test_the_chosen_layer_decides_bits_and_speed() -> None:
    app = page(layer="convs.1")
    assert headlines(app)["Speed"][1] == "as torch fp32, in layer convs.1"
    assert headlines(app)["Bits per weight"] == (f"{1 + 32 / (16 * 144):.3f}", "layer convs.1")


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
    assert headlines(app)["Bits per weight"][0] == "32.000"
    assert headlines(app)["Speed"][0] == "—"


def test_float_activations_are_said_to_bring_no_speed() -> None:
    app = page(method="binary-weight")
    assert headlines(app)["Speed"][0] == "—"
    assert "there are no bits to count: smaller, not faster" in text(app)


# ---- charts, presets, addresses that are lost


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
