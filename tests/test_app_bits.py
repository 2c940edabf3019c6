"""The page of the bitwise convolution, run without a browser: what its table of bits is given, and its sentences."""

import functools
import json
from pathlib import Path

import pytest
import screen
from screen import press, text
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import UnknownElement

from app.services import bits, jobs, networks
from app.services.bits import Flip, Place
from app.services.bits_tasks import Layer, LookInside
from app.services.jobs import Status
from cfcore.config import Configuration

ROOT = Path(__file__).parents[1]
DEFAULT = Configuration()
page = functools.partial(screen.page, "bits")
TWO_BITS = {"source": "post-training", "weight_bits": "2", "activation_bits": "2"}
_layers: dict[LookInside, Layer] = {}


class Bench:
    """A worker whose tasks of this page are done at once, here; `stands` says otherwise."""

    def __init__(self) -> None:
        self.stands: Status | None = None
        self.asked: list[jobs.Task] = []

    def look(self, task: jobs.Task, session: str) -> Status | None:
        return self.request(task, session)

    def request(self, task: jobs.Task, session: str, again: bool = False) -> Status:
        self.asked.append(task)
        if self.stands is not None:
            return self.stands
        assert isinstance(task, LookInside)
        if task not in _layers:
            _layers[task] = task.run(lambda *_: None)
        return Status("done", value=_layers[task])

    def cancel(self, task: jobs.Task, session: str) -> None:
        self.stands = Status("cancelled")


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(jobs, "worker", lambda: made)
    return made


def table(app: AppTest) -> dict[str, object]:
    """What the component is given."""
    (found,) = [e for e in elements(app) if getattr(e.proto, "component_name", "") == "bit_table"]
    return json.loads(found.proto.json)


def elements(app: AppTest) -> list[UnknownElement]:
    return [node for node in app.main if isinstance(node, UnknownElement)]


def numbers(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value.replace("−", "-") for metric in app.metric}


def under(app: AppTest) -> list[str]:
    return [metric.delta for metric in app.metric]


def view(place: Place, configuration: Configuration = DEFAULT, layer: str = "convs.18", *flips: Flip) -> bits.View:
    """What the page should say, computed beside it."""
    conv = networks.layers(configuration)[layer]
    task = bits.task(configuration, layer, place.image)
    return bits.view(configuration, conv, _layers[task], place, flips)


# ---- what opens


def test_it_opens_on_a_counted_window_with_no_click() -> None:
    app = page()
    found = view(Place(0, 4, 4, 0, 0))
    assert numbers(app) == {
        "These 8 channels": str(found.part.sum),
        "All 64 channels": str(found.whole.sum),
        "Times the scaling factor": f"{found.scaled:.4f}",
    }
    assert under(app)[:2] == [
        f"equal to the float sum {sum_.float_sum:.1f}".replace("-", "−") for sum_ in (found.part, found.whole)
    ]
    said = text(app)
    assert "Test image 0: **cat**." in said
    plane = found.whole.planes[0]
    assert f"576 − 2·{plane.count} = {plane.sum}".replace("-", "−") in said
    assert f"In float arithmetic torch's convolution gives {found.torch:.4f}".replace("-", "−") in said
    assert not app.error
    assert not app.warning


def test_the_table_shows_the_steps_as_they_were_counted() -> None:
    shown = table(page())
    found = view(Place(0, 4, 4, 0, 0))
    assert shown["heads"] == ["ones d", "8 − 2d", "sum", "float sum"]
    assert shown["words"] == ["activations", "weights", "xor"]
    assert shown["channels"] == list(range(8))
    rows = shown["rows"]
    assert isinstance(rows, list)
    for row, step in zip(rows, found.steps, strict=True):
        assert (row["activation"], row["weight"]) == (list(step.activations), list(step.weights))
        assert row["joined"] == [a ^ u for a, u in zip(step.activations, step.weights, strict=True)]
        count, adds, total, floats = row["numbers"]
        assert int(count) == sum(row["joined"])
        assert int(adds.replace("−", "-")) == 8 - 2 * int(count)
        assert float(total.replace("−", "-")) == float(floats.replace("−", "-")) == step.total
    assert rows[1]["said"].endswith(
        f"So far 16 − 2·{found.steps[0].count + found.steps[1].count} = {found.steps[1].total}.".replace("= -", "= −")
    )


def test_xnor_counts_the_others_and_comes_to_the_same() -> None:
    xor, xnor = page(), page(bits_count="xnor")
    assert numbers(xor) == numbers(xnor)
    for one, other in zip(table(xor)["rows"], table(xnor)["rows"], strict=True):  # type: ignore[call-overload]
        assert [a + b for a, b in zip(one["joined"], other["joined"], strict=True)] == [1] * 8
        assert one["numbers"][1:] == other["numbers"][1:]
    assert table(xnor)["heads"][1] == "2p − 8"  # type: ignore[index]


# ---- touching it


def flip(app: AppTest, *flips: Flip) -> None:
    """As the table's callback notes it: AppTest cannot press what a component draws."""
    configuration, place = DEFAULT, Place(0, 4, 4, 0, 0)
    app.session_state["bits_flips"] = ((configuration, "convs.18", place), frozenset(flips))
    app.run()
    assert not app.exception


def test_a_flipped_bit_changes_the_sum_by_two_and_can_be_put_back() -> None:
    app = page()
    before = int(numbers(app)["These 8 channels"])
    flip(app, Flip("activation", 0, tap=3, channel=1))
    after = int(numbers(app)["These 8 channels"])
    assert abs(after - before) == 2
    assert under(app)[0] == f"equal to the float sum {after}.0".replace("-", "−")
    assert f"1 bit flipped: {before} before.".replace("-", "−") in text(app)
    assert "With no bit flipped, torch gives" in text(app)
    assert table(app)["rows"][3]["turned"] == ["activation,1"]  # type: ignore[index]
    press(app, "Put the bits back")
    assert int(numbers(app)["These 8 channels"]) == before
    assert "bit flipped: " not in text(app)


def test_the_address_and_the_code_keep_what_was_flipped() -> None:
    app = page()
    flip(app, Flip("activation", 0, tap=3, channel=1), Flip("weight", 0, tap=0, channel=9))
    assert app.query_params["bits_flips"] == "activation.0.3.1~weight.0.0.9"
    assert "--flip activation.0.3.1 --flip weight.0.0.9" in app.code[0].value
    again = page(bits_flips="activation.0.3.1~weight.0.0.9")
    assert numbers(again) == numbers(app)
    assert not again.warning
    again.selectbox(key="bits_channel").set_value(8).run()  # the same window, other channels of it
    assert "1 bit flipped: " in text(again)
    assert numbers(again)["All 64 channels"] == numbers(app)["All 64 channels"]
    press(again, "Put the bits back")
    assert "bits_flips" not in again.query_params


@pytest.mark.parametrize(
    "flips", ["nonsense", "weight.1.0.0", "weight.0.9.0", "activation.0.0.64", "weight.0.0.-1", "~"]
)
def test_a_flip_that_cannot_be_is_refused_in_a_sentence(flips: str) -> None:
    app = page(bits_flips=flips)
    assert numbers(app) == numbers(page())
    (warning,) = app.warning
    assert "The page shows no bit flipped instead" in warning.value.replace("\\", "")
    assert "bits_flips" not in app.query_params
    app.number_input(key="bits_filter").set_value(3).run()
    assert not app.warning


def test_another_window_forgets_the_flips() -> None:
    app = page()
    flip(app, Flip("weight", 0, tap=0, channel=0))
    app.number_input(key="bits_filter").set_value(3).run()
    assert int(numbers(app)["These 8 channels"]) == view(Place(0, 4, 4, 3, 0)).part.sum
    assert "bit flipped: " not in text(app)


def test_the_corner_shows_how_padding_is_corrected() -> None:
    app = page()
    press(app, "Go to a corner")
    found = view(Place(0, 0, 0, 0, 0))
    assert int(numbers(app)["These 8 channels"]) == found.part.sum
    rows = table(app)["rows"]
    assert [row["fixed"] for row in rows] == [not step.inside for step in found.steps]  # type: ignore[attr-defined]
    first = rows[0]  # type: ignore[index]
    assert first["numbers"][2:] == ["0", "0.0"]
    assert "counts as zero, but its 0 bits read as −1" in first["said"]
    assert "In this window, 5 taps overhang the border" in text(app)


# ---- more bits


def test_planes_and_their_powers_of_two_add_up() -> None:
    app = page(**TWO_BITS)
    configuration = Configuration(weight_bits=2, activation_bits=2, source="post-training")
    found = view(Place(0, 4, 4, 0, 0), configuration)
    (planes,) = app.table
    cells = [cell for column in ("weight plane 0", "weight plane 1") for cell in planes.value[column]]
    products = [int(cell.split(" = ")[1].replace("−", "-")) for cell in cells]
    assert sum(products) == found.part.sum == int(numbers(app)["These 8 channels"])
    for cell in cells:
        factor, total = cell.split(" = ")[0].replace("−", "-").split(" × ")
        assert int(factor) * int(total) == int(cell.split(" = ")[1].replace("−", "-"))
    shown = table(app)
    assert shown["words"] == ["activations, plane 0 (× 1)", "weights, plane 0 (× 1)", "and"]
    assert "Why AND?" in [heading.value for heading in app.subheader]
    app.selectbox(key="bits_weight_plane").set_value(1).run()
    assert table(app)["words"][1] == "weights, plane 1 (× 2)"  # type: ignore[index]


def test_two_bits_are_one_press_away() -> None:
    app = page()
    press(app, "Show 2 × 2 bits")
    assert app.selectbox(key="source").value == "trained"  # it ships
    assert len(app.table) == 1


def test_two_bits_are_quantized_now_where_none_ship() -> None:
    app = page(group_size="4", order="sorted", source="post-training")
    press(app, "Show 2 × 2 bits")
    assert app.selectbox(key="source").value == "post-training"
    assert len(app.table) == 1


def test_weights_of_several_bits_meet_signs() -> None:
    app = page(source="post-training", weight_bits="3")
    assert table(app)["words"] == ["activations, plane 0 (× 1)", "weights, plane 0 (× 1)", "xor"]
    configuration = Configuration(weight_bits=3, source="post-training")
    found = view(Place(0, 4, 4, 0, 0), configuration)
    assert int(numbers(app)["These 8 channels"]) == found.part.sum
    assert found.part.equal


# ---- addresses


def test_a_link_reproduces_the_window() -> None:
    app = page(layer="convs.7", bits_image="21", bits_row="0", bits_column="15", bits_filter="9", bits_channel="8")
    found = view(Place(21, 0, 15, 9, 8), DEFAULT, "convs.7")
    assert int(numbers(app)["These 8 channels"]) == found.part.sum
    assert table(app)["channels"] == list(range(8, 16))


def test_nonsense_in_the_address_breaks_nothing() -> None:
    app = page(
        bits_image="-4", bits_row="banana", bits_column="99", bits_channel="3", bits_count="and", bits_filter="1e9"
    )
    assert numbers(app) == numbers(page())


def test_counting_nothing_is_counting_differences() -> None:
    app = page(bits_count="")
    assert numbers(app) == numbers(page())
    assert "bits_count = '' is not allowed" in app.warning[0].value.replace("\\", "")


@pytest.mark.parametrize("endless", ["inf", "-inf", "Infinity", "1e400", "9" * 400])
def test_an_endless_number_in_the_address_is_named(endless: str) -> None:
    app = page(bits_row=endless)
    assert numbers(app) == numbers(page())
    (warning,) = app.warning
    assert f"bits_row = '{endless[:40]}" in warning.value.replace("\\", "")
    assert "bits_row" not in app.query_params
    app.number_input(key="bits_row").set_value(2).run()
    assert app.number_input(key="bits_row").value == 2
    assert not app.warning


def test_a_narrower_layer_keeps_what_it_can() -> None:
    app = page(layer="convs.1", bits_row="31", bits_column="2")
    app.selectbox(key="layer").set_value("convs.18").run()
    assert not app.exception
    assert app.number_input(key="bits_row").value == 7
    assert app.number_input(key="bits_column").value == 2


# ---- where there is nothing to show


@pytest.mark.parametrize("method", ["float", "binary-weight"])
def test_float_activations_have_nothing_to_count_and_lead_to_xnor(method: str, bench: Bench) -> None:
    app = page(method=method)
    assert "nothing to count" in text(app) or "no bits to count" in text(app)
    assert not app.metric
    assert bench.asked == []
    press(app, "Show it with xnor")
    assert app.selectbox(key="method").value == "xnor"
    assert len(app.metric) == 3


def test_an_untrained_configuration_can_be_quantized(bench: Bench) -> None:
    app = page(weight_bits="5")
    assert "No network trained with this configuration is shipped." in app.info[0].value
    assert bench.asked == []
    press(app, "Quantize after training")
    assert len(app.metric) == 3


def test_a_model_that_is_not_shipped_says_so(bench: Bench) -> None:
    assert "No trained resnet56 is shipped" in text(page(model="resnet56"))
    assert bench.asked == []


def test_while_the_network_runs_its_place_is_kept(bench: Bench) -> None:
    bench.stands = Status("running", share=0.5, step="running it up to convs.18")
    app = page()
    assert "The words appear here once the network has run." in text(app)
    assert "Stop" in [button.label for button in app.button]
    bench.stands = Status(
        "failed", problem="There is no cifar10_test.webp in pretrained/. Restore it from the project."
    )
    app = page()
    assert "There is no cifar10_test.webp" in text(app)
    assert "Start again" in [button.label for button in app.button]


def test_a_damaged_manifest_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_PRETRAINED", str(tmp_path))
    (error,) = page().error
    assert "There is no manifest.json" in error.value


def test_a_number_is_taken_however_it_is_spelled() -> None:
    app = page(bits_image="007", bits_filter="1e1")
    assert (app.number_input(key="bits_image").value, app.number_input(key="bits_filter").value) == (7, 10)
    assert not app.warning
