"""The What-if page, run without a browser on the shipped networks."""

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import screen
from screen import press, text
from streamlit.testing.v1 import AppTest

from app.services import networks, snippets, whatif
from app.services.jobs import Status
from app.services.predictions_tasks import Compare, Compared
from app.services.whatif import Candidate
from app.views import words_whatif as words
from cfcore.comparison import Answers, Comparison
from cfcore.config import Configuration
from cfcore.cost import network_cost
from cfcore.manifest import Entry, entries

pytestmark = pytest.mark.usefixtures("bench")
DEFAULT = Configuration()
FLOAT = Configuration.of(method="float")
ALONE = DEFAULT.with_group_size(1)
page = functools.partial(screen.page, "whatif")


def table(app: AppTest) -> list[dict[str, Any]]:
    (frame,) = app.dataframe
    return frame.value.to_dict("records")


def compared(app: AppTest) -> dict[str, tuple[str, str, str]]:
    """A, B and B − A, by the first words of the row."""
    (frame,) = app.table
    return {row[""].split(" (")[0]: (row["A"], row["B"], row["B − A"]) for row in frame.value.to_dict("records")}


def accuracy(configuration: Configuration) -> float:
    entry = networks.trained(configuration)
    assert entry is not None
    return entry.accuracy


# ---- what opens


def test_it_opens_with_every_configuration_and_an_answer() -> None:
    app = page()
    rows = table(app)
    assert len(rows) == len(whatif.candidates("resnet20"))
    assert list(rows[0]) == list(words.COLUMNS)
    trained = [entry for entry in entries() if entry.configuration.model == "resnet20"]
    top = max(trained, key=lambda entry: entry.accuracy)
    assert (rows[0]["accuracy"], rows[0]["bytes"]) == (top.accuracy, network_cost(top.configuration).bytes.total)
    said = text(app)
    assert f"the most accurate is **float**: {accuracy(FLOAT):.2f} %" in said
    assert f"{len(rows)} configurations, {len(trained)} of them trained." in said
    assert not app.warning
    assert not app.error
    assert dict(app.query_params) == {}


def test_what_is_not_trained_has_no_accuracy() -> None:
    shown = [entry for entry in entries() if entry.configuration.model == "resnet20"]
    known = {whatif.label(entry.configuration): entry.accuracy for entry in shown}
    for row in table(page()):
        if row["label"] in known:
            assert row["accuracy"] == known[row["label"]]
        else:
            assert row["accuracy"] != row["accuracy"]  # not a number


def test_every_number_says_where_it_comes_from() -> None:
    app = page()
    said = text(app)
    assert said.count("**measured**") >= 2
    assert said.count("**computed**") >= 2
    assert "**Measured** for the project and shipped, possibly not on your machine" in said
    rows = app.table[0].value.to_dict("records")
    assert all("measured" in row[""] or "computed" in row[""] for row in rows)


# ---- so many bytes, so much accuracy


def test_a_limit_leaves_out_what_is_larger_and_changes_the_answer() -> None:
    app = page()
    app.selectbox(key="at_most").set_value("50 kB").run()
    rows = table(app)
    assert rows
    assert max(row["bytes"] for row in rows) <= 50_000
    small = [e for e in entries() if network_cost(e.configuration).bytes.total <= 50_000]
    best = max(small, key=lambda entry: entry.accuracy)
    said = f"**{whatif.label(best.configuration)}**: {best.accuracy:.2f} %"
    assert f"Of the trained networks within 50 kB, the most accurate is {said}" in text(app)
    assert "Grey outlines take more than 50 kB." in text(app)


def test_only_trained_ones_can_be_listed() -> None:
    app = page(listed="trained")
    assert len(table(app)) == len([e for e in entries() if e.configuration.model == "resnet20"])
    app.button_group(key="listed").set_value("all").run()
    assert len(table(app)) > 100


def test_a_limit_that_nothing_meets_says_what_would() -> None:
    app = page(at_most="25 kB")
    assert not app.dataframe
    least = min(whatif.candidates("resnet20"), key=lambda c: c.bytes)
    assert f"There is no configuration to list within 25 kB. The smallest of all, {least.label}" in text(app)
    assert "No trained network fits in 25 kB. The smallest," in text(app)
    assert "Above 25 kB, the smallest network within 1 point of float's" in text(app)


def test_a_model_without_networks_lists_costs() -> None:
    app = page(model="resnet56")
    assert "No trained resnet56 is shipped: only costs are listed." in text(app)
    assert len(table(app)) > 100
    assert not app.get("plotly_chart")
    assert "There is no trained configuration to list." in text(page(model="resnet56", listed="trained"))


# ---- two of them


def test_it_compares_what_is_chosen_with_m_1() -> None:
    app = page()
    rows, a, b = compared(app), network_cost(DEFAULT), network_cost(ALONE)
    assert rows["Accuracy"][:2] == (f"{accuracy(DEFAULT):.2f} %", f"{accuracy(ALONE):.2f} %")
    assert rows["Bytes"] == (f"{a.bytes.total:,}", f"{b.bytes.total:,}", f"+{b.bytes.total - a.bytes.total:,}")
    few, many = (6 * (16 // m + 32 // m + 64 // m) for m in (16, 1))  # six convolutions of each width change
    assert rows["Scaling factors"] == (str(few), str(many), f"+{many - few}")
    assert rows["Bitwise multiply-accumulates"][2] == "±0"
    assert "A is **xnor, 1 × 1 bits, m = 16**, B **xnor, 1 × 1 bits, m = 1**." in text(app)
    assert {row["label"]: row["pin"] for row in table(app) if row["pin"]} == {
        "xnor, 1 × 1 bits, m = 16": "A",
        "xnor, 1 × 1 bits, m = 1": "B",
    }


def test_a_pin_stays_where_the_controls_go_on() -> None:
    app = page()
    press(app, "Pin the chosen one as A")
    assert app.query_params["a"] == whatif.label(DEFAULT)
    app.selectbox(key="method").set_value("binary-weight").run()
    press(app, "Pin the chosen one as B")
    chosen = Configuration.of(method="binary-weight")
    assert f"A is **{whatif.label(DEFAULT)}**, B **{whatif.label(chosen)}**." in text(app)
    assert compared(app)["Accuracy"][:2] == (f"{accuracy(DEFAULT):.2f} %", f"{accuracy(chosen):.2f} %")
    assert "Only A has a norm before each convolution" in text(app)
    again = page(**{name: value for name, value in app.query_params.items() if isinstance(value, str)})
    assert compared(again) == compared(app)


def test_any_listed_configuration_can_be_chosen() -> None:
    app = page()
    app.selectbox(key="a").set_value("float").run()
    assert "A is **float**, B **xnor, 1 × 1 bits, m = 16**." in text(app)
    app.selectbox(key="b").set_value("xnor, 8 × 4 bits, m = 2").run()
    wide = network_cost(Configuration(weight_bits=8, activation_bits=4, group_size=2))
    assert compared(app)["Bytes"][1] == f"{wide.bytes.total:,}"
    assert compared(app)["Accuracy"][1:] == ("—", "—")
    assert "B is not trained, so its accuracy is unknown." in text(app)


def test_one_that_is_not_usual_joins_from_the_address() -> None:
    odd = Configuration(weight_bits=3, activation_bits=2, group_size=5, order="sorted")
    app = page(b=whatif.label(odd))
    assert not app.warning
    assert compared(app)["Bytes"][1] == f"{network_cost(odd).bytes.total:,}"
    assert whatif.label(odd) in [row["label"] for row in table(app)]


def test_the_same_twice_is_said() -> None:
    app = page(b="xnor, 1 × 1 bits, m = 16")
    assert "A and B are both xnor, 1 × 1 bits, m = 16" in text(app)
    assert [row["pin"] for row in table(app) if row["pin"]] == ["A, B"]


def test_post_training_is_compared_as_trained() -> None:
    app = page(source="post-training")
    assert words.POST_TRAINING in text(app)
    assert compared(app) == compared(page())


# ---- nonsense and damage


def test_nonsense_in_the_address_is_named_and_the_page_still_works() -> None:
    app = page(at_most="5", listed="some", a="banana", b="xnor, 9 × 1 bits, m = 1")
    said = "\n".join(warning.value.replace("\\", "") for warning in app.warning)
    for sentence in (
        "at_most = '5' is not allowed: use what its control offers. The page shows any instead.",
        "listed = 'some' is not allowed: use what its control offers. The page shows all instead.",
        "a = 'banana' is not allowed: use what its control offers. The page shows as chosen above instead.",
        "b = 'xnor, 9 × 1 bits, m = 1' is not allowed",
    ):
        assert sentence in said
    assert compared(app) == compared(page())
    app.selectbox(key="a").set_value("float").run()
    assert "banana" not in "\n".join(warning.value for warning in app.warning)


def test_a_pin_that_the_model_cannot_have_is_named() -> None:
    app = page(model="vgg_small", a="xnor, 1 × 1 bits, m = 256")
    assert not app.warning
    app.selectbox(key="model").set_value("resnet20").run()
    assert not app.exception
    (warning,) = app.warning
    assert "a = 'xnor, 1 × 1 bits, m = 256' is not allowed" in warning.value.replace("\\", "")
    assert "A is **xnor, 1 × 1 bits, m = 16**" in text(app)


def test_a_missing_manifest_is_one_sentence(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (error,) = page().error
    assert error.value.startswith("There is no manifest.json in")


def test_a_damaged_timing_is_one_sentence_and_the_rest_is_there(folder: Path) -> None:
    (folder / "bench" / "one.json").write_text("{}")
    app = page()
    assert "one.json is no file of timings, or damaged" in text(app)
    assert "Time of one image" not in compared(app)


def test_without_timings_it_says_so(folder: Path) -> None:
    assert "No timing of either is shipped. A was not timed. B was not timed." in text(page())


def test_a_network_near_float_is_found(folder: Path) -> None:
    enough = accuracy(FLOAT) - 0.9
    document = json.loads((folder / "manifest.json").read_text())
    for network in document["networks"]:
        if Entry.from_dict(network).configuration == DEFAULT:
            network["accuracy"] = enough
    (folder / "manifest.json").write_text(json.dumps(document))
    said = text(page())
    assert (
        f"The smallest network within 1 point of float's {accuracy(FLOAT):.2f} % is **{whatif.label(DEFAULT)}**" in said
    )
    assert f"{enough:.2f} % in {network_cost(DEFAULT).bytes.total:,} bytes." in said


# ---- sentences


def made(group_size: int, size: int, accuracy: float | None) -> Candidate:
    (found,) = [c for c in whatif.candidates("resnet20") if c.configuration == DEFAULT.with_group_size(group_size)]
    return replace(found, bytes=size, accuracy=accuracy)


def test_a_difference_is_told_from_chance() -> None:
    a = made(1, 1000, 90.0)
    margin = 1.96 * ((90 * 10 + 90.5 * 9.5) / 10_000) ** 0.5
    within, beyond = words.differ(a, made(2, 900, 90.5)), words.differ(a, made(2, 2500, 88.0))
    assert within.startswith("B is 100 bytes smaller than A (10.0 %) and 0.50 points more accurate.")
    assert (
        f"a difference of up to {margin:.2f} points could be chance, so this one might be; both saw the same images, "
        "where the limit is lower."
    ) in within
    assert beyond.startswith("B is 1,500 bytes larger than A (2.5 times its bytes) and 2.00 points less accurate.")
    assert "could be chance, and this one is larger; both saw the same images, where the limit is lower." in beyond
    assert words.differ(a, made(2, 1000, 90.0)).startswith("B takes as many bytes as A and is as accurate.")


def test_the_code_shown_is_that_of_the_two() -> None:
    command, python = page().code
    assert command.value.splitlines()[1] == snippets.command("evaluate", DEFAULT)
    assert snippets.command("cost", ALONE) in command.value
    assert f"{snippets.command('compare', ALONE)} --against {DEFAULT.name}" in command.value.splitlines()
    assert "group_size=1" in python.value


def test_it_can_be_read_aloud() -> None:
    app = page()
    (chart,) = app.get("plotly_chart")
    assert "A 1 × 1 bits, m = 16" in chart.proto.alt
    assert "configurations of resnet20" in app.dataframe[0].proto.alt


# ---- asking both


def test_two_trained_networks_are_asked_about_the_same_images(bench: screen.Bench) -> None:
    app = page()
    press(app, words.ASK_BOTH)
    (task,) = [task for task in bench.asked if task.kind == "pair"]
    assert isinstance(task, Compare)
    assert (task.against, task.configuration) == (DEFAULT, ALONE)
    labels = np.array([3] * 10)
    before, after = (Answers(np.array([3] * right + [5] * (10 - right)), np.ones(10, np.float32)) for right in (7, 9))
    bench.stands["pair"] = Status("done", value=Compared(Comparison(labels, before, after), "packed"))
    said = text(app.run())
    assert "On the same 10 images so far, only A is right on **0** and only B on **2**: B − A is +20.00 points" in said
    assert "a difference of up to 27.72 points can be chance, so this one may be. **Measured here**, now." in said
    assert words.ASK_BOTH not in [button.label for button in app.button]


def test_asking_both_can_be_stopped_and_is_refused_in_a_sentence(bench: screen.Bench) -> None:
    bench.stands["pair"] = Status("running", share=0.5, step="asking")
    app = page()
    press(app, words.ASK_BOTH)
    press(app, "Stop")
    app.run()  # it runs on: for others, or until it heeds
    assert "Stopped before it was done." in text(app)
    bench.stands["pair"] = Status("failed", problem="32 other jobs are waiting. Try again in a minute.")
    press(app, "Start again")
    bench.asked.clear()  # which the worker does not know of
    app.run()
    assert "32 other jobs are waiting." in text(app)


def test_times_that_are_wrong_count_for_nothing_and_notes_are_read_out(folder: Path) -> None:
    timed = screen.document(packed=5.0, int8=2.0)
    rows = [dict(row, layer="resnet20", stage="network") for row in timed["rows"]]  # type: ignore[attr-defined]
    (folder / "bench" / "one.json").write_text(json.dumps({**timed, "rows": rows, "notes": ["Cores *slept*."]}))
    app = page()
    assert "Time of one image" in compared(app)
    assert "Cores \\*slept\\*\\." in text(app)
    rows = [dict(row, matches_reference=False) for row in rows]
    (folder / "bench" / "one.json").write_text(json.dumps({**timed, "rows": rows}))
    assert "Time of one image" not in compared(page())


def test_what_another_session_stopped_can_be_asked(bench: screen.Bench) -> None:
    bench.stands["pair"] = Status("cancelled")
    app = page()
    press(app, words.ASK_BOTH)
    app = page()
    assert words.ASK_BOTH in [button.label for button in app.button]
    assert "Stopped before it was done" not in text(app)


def test_there_is_nothing_to_ask_of_one_that_is_not_trained() -> None:
    app = page(weight_bits="8")
    assert "not trained" in text(app)
    assert words.ASK_BOTH not in [button.label for button in app.button]
