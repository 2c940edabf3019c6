"""The page of the lessons, run without a browser on what is shipped."""

import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import screen
from screen import Bench, press, text
from streamlit.testing.v1 import AppTest

from app.services import lessons, networks
from app.services.jobs import Status
from app.services.lessons import ONE_BIT
from app.services.lessons_tasks import IMAGES, Counted, Survival
from app.views import words_lessons as words
from app.views.words import signed
from cfcore.config import Configuration
from cfcore.cost import network_cost
from cfcore.formula import CANDIDATES, CROSS_FILTER_SPEEDUP, XNOR_NET_SPEEDUP, estimate
from cfcore.manifest import find
from cfcore.results import Paired

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("bench")
NUMBER = {name: number for number, name in enumerate(words.TITLES, start=1)}


def page(name: str) -> AppTest:
    return screen.page("lessons", lesson=str(NUMBER[name]))


def predict(app: AppTest, guess: object) -> tuple[str, str]:
    """Commit to a guess. -> the answer, and what stands under it"""
    app.radio[0].set_value(guess)
    press(app, words.SHOW)
    return app.metric[0].value, app.metric[0].delta


def table(app: AppTest) -> list[dict[str, str]]:
    return app.table[0].value.to_dict("records")


# ---- the path


@pytest.mark.parametrize("name", NUMBER)
def test_a_lesson_asks_and_gives_nothing_away(name: str, bench: Bench) -> None:
    app = page(name)
    assert words.place(NUMBER[name], len(NUMBER)) in text(app)
    assert app.subheader[0].value == words.TITLES[name]
    assert app.radio[0].value is None
    assert 3 <= len(app.radio[0].options) <= 4
    assert not app.metric
    assert not app.table
    assert not app.get("plotly_chart")
    assert bench.asked == []


def test_showing_needs_a_prediction() -> None:
    app = page("bytes")
    press(app, words.SHOW)
    assert not app.metric
    assert words.FIRST in text(app)


def test_an_answer_stands_until_another_one_is_chosen() -> None:
    app = page("bytes")
    predict(app, 24)
    app.radio[0].set_value(32).run()
    assert not app.metric
    assert predict(app, 32)[0] == f"{network_cost(ONE_BIT).ratio:.1f}×"
    assert words.SIZES[24] in text(app)


def test_next_and_previous_lead_through_all() -> None:
    app = screen.page("lessons")
    for number in range(1, len(NUMBER)):
        assert words.place(number, len(NUMBER)) in text(app)
        press(app, "Next lesson")
    assert [b.disabled for b in app.button if b.label == "Next lesson"] == [True]
    press(app, "Previous lesson")
    assert words.place(len(NUMBER) - 1, len(NUMBER)) in text(app)
    assert app.query_params["lesson"] == str(len(NUMBER) - 1)


def test_a_prediction_is_kept_and_the_address_does_not_tell_it() -> None:
    app = page("bytes")
    shown = predict(app, 24)
    press(app, "Next lesson")
    assert not app.metric
    press(app, "Previous lesson")
    assert (app.metric[0].value, app.metric[0].delta) == shown
    assert app.radio[0].value == 24
    assert set(app.query_params) <= {"lesson"}


# ---- what is revealed


def test_bytes_are_those_of_the_ledger() -> None:
    cost = network_cost(ONE_BIT)
    right = min(words.SIZES, key=lambda guess: abs(guess - cost.ratio))
    for guess in words.SIZES:
        app = page("bytes")
        value, under = predict(app, guess)
        assert value == f"{cost.ratio:.1f}×"
        assert under == ("as you predicted" if guess == right else "not as you predicted")
        assert guess == right or words.corrected(words.SIZES[guess], words.SIZES[right]) in text(app)
    assert f"of {cost.bytes.total:,}" in text(app)
    assert f"{100 * cost.bytes.scales / cost.bytes.total:.1f} % are factors" in text(app)
    assert "**Computed**" in text(app)


def test_sharing_is_compared_seed_by_seed() -> None:
    shared = lessons.shared()
    assert shared is not None
    app = page("sharing")
    right = words.sharing_right(shared.difference)
    assert predict(app, right) == (f"{signed(shared.difference.mean)} points", "as you predicted")
    for m in (1, "layer"):
        entry = find(ONE_BIT.with_group_size(m))
        assert entry is not None
        mean = sum(entry.seeds.values()) / len(entry.seeds)
        assert f"{mean:.2f} ± " in text(app)


@pytest.mark.parametrize(
    ("points", "deviation", "right"),
    [(-2, 0.5, "much"), (-0.5, 0.1, "little"), (0.5, 0.4, "none"), (0.5, 0.1, "gain")],
)
def test_each_outcome_has_its_answer(points: float, deviation: float, right: str) -> None:
    assert words.sharing_right(Paired(points, deviation, count=3)) == right


def test_the_sum_is_spelled_out_place_by_place() -> None:
    app = page("bits")
    signs = lessons.signs()
    value, under = predict(app, signs.step.total)
    products = [int(row["product"].replace("−", "-")) for row in table(app)]
    assert value == str(sum(products)).replace("-", "−")
    assert under == "as you predicted"
    p, n = sum(row["xnor"] == "1" for row in table(app)), len(products)
    assert rf"2p - n = 2 \cdot {p} - {n} = {sum(products)}" in app.latex[0].value


def test_rounding_is_counted_once_it_was_predicted(bench: Bench) -> None:
    app = page("rounding")
    task = Survival("resnet20", networks.folder())
    assert predict(app, 90)[0] == "…"
    assert bench.asked == [task]
    counted = [Counted(configuration, 300 + i, IMAGES) for i, configuration in enumerate(task.networks)]
    bench.stands[task.kind] = Status("running", share=0.5, step="counting", value=(counted[0],))
    app.run()
    assert (app.metric[0].value, app.metric[0].delta) == ("30.0 %", "not as you predicted")
    assert words.corrected(words.LEFT[90], words.LEFT[30]) in text(app)
    bench.stands[task.kind] = Status("done", value=tuple(counted))
    app.run()
    assert app.metric[0].value == "30.0 %"
    assert f"first {IMAGES:,} test images" in text(app)
    assert "**Measured here**" in text(app)


def test_a_count_that_failed_says_why(bench: Bench) -> None:
    app = page("rounding")
    bench.stands["survival"] = Status("failed", problem="The disk is full.")
    predict(app, 10)
    assert "The disk is full." in text(app)
    assert "Start again" in [button.label for button in app.button]


def test_speed_is_that_of_the_shipped_timings() -> None:
    timed = lessons.timed()[0]
    app = page("speed")
    right = lessons.fastest(timed.asked)
    assert predict(app, right) == (words.TIMED_AS[right], "as you predicted")
    for row, drawn in zip(timed.rows, table(app), strict=True):
        shown = float(drawn["against int8"].removesuffix("×"))
        assert shown == pytest.approx(row.times_faster["torch-int8"], abs=0.06)
    assert timed.asked.machine.cpu in text(app)


def test_counting_shows_published_computed_and_measured() -> None:
    app = page("counting")
    _, near = lessons.ways()
    assert near is not None
    assert predict(app, 60)[0] == f"{near.times_faster:.1f}×"
    assert [(row["kind"], row["times"]) for row in table(app)] == [
        ("published", f"{CROSS_FILTER_SPEEDUP}×"),
        ("computed", f"{estimate(CANDIDATES[0]).speedup:.2f}×"),
        ("published", f"{XNOR_NET_SPEEDUP}×"),
        ("computed", f"{32 / 3:.2f}×"),
        ("measured", f"{near.times_faster:.1f}×"),
    ]


# ---- the way on, and what is missing


@pytest.mark.parametrize(
    ("name", "guess", "expected"),
    [
        ("bytes", 32, ONE_BIT),
        ("sharing", "none", ONE_BIT.with_group_size("layer")),
        ("bits", 4, Configuration()),
        ("rounding", 10, Survival("resnet20", Path()).one_bit),
        ("speed", "packed", Configuration(weight_bits=4, activation_bits=4)),
        ("counting", 5, Configuration(group_size=1)),
    ],
)
def test_the_way_on_opens_another_page_at_a_configuration(name: str, guess: object, expected: Configuration) -> None:
    app = screen.page("lessons", lesson=str(NUMBER[name]), method="binary-weight", group_size="4", weight_bits="3")
    predict(app, guess)
    (link,) = [element.proto for element in app.get("link_button")]
    view, _, query = link.url.partition("?")
    beside = screen.page("explorer" if view == "." else view, **dict(parse_qsl(query)))
    assert beside.session_state["chosen"][0] == expected
    assert not beside.warning
    assert app.session_state["chosen"][0] == Configuration.of(method="binary-weight", group_size=4, weight_bits=3)


def test_what_does_not_ship_is_said_in_a_sentence(folder: Path) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({"networks": []}))
    said = {
        "sharing": words.NO_SEEDS,
        "rounding": words.NO_FLOAT,
        "speed": words.NO_TIMINGS,
        "counting": words.NO_CLOCK,
    }
    for name in NUMBER:
        app = page(name)
        assert [info.value for info in app.info] == ([said[name]] if name in said else [])
        assert bool(app.radio) == (name not in said)


def test_a_missing_manifest_is_said(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert "There is no manifest.json" in page("sharing").error[0].value
