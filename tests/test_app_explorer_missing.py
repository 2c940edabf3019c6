"""The Explorer where a network or a timing is missing, damaged, on its way or made here."""

import functools
import json
from pathlib import Path

import pytest
import screen
from screen import Bench, document, headlines, press, text

from app.services import networks, tasks
from app.services.jobs import Status
from app.services.speed_tasks import Timing
from cfcore.config import Configuration
from cfcore.cost import network_cost
from cfcore.timings import Benchmark

pytestmark = pytest.mark.usefixtures("bench")
DEFAULT = Configuration()
page = functools.partial(screen.page, "explorer")


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
    assert "On the first 1,000 test images" in text(app)
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
    assert "No timing of this layer (64→64, 8×8) at 1 × 1 bits is shipped. The Kernel speed page can" in text(app)


def test_a_damaged_measurement_is_one_sentence(folder: Path) -> None:
    (folder / "bench" / "one.json").write_text("{}")
    (error,) = page().error
    assert "one.json is no file of timings, or damaged" in error.value


# ---- speed


def test_a_shipped_measurement_is_there_at_once_and_labelled(folder: Path) -> None:
    (folder / "bench" / "one.json").write_text(json.dumps([document(packed=5.0, int8=2.0)]))
    app = page()
    assert headlines(app)["Speed"] == ("5.0× as fast", "as torch fp32, in layer convs.18")
    said = text(app)
    assert "8.0 µs (10th to 90th percentile 7.8 to 8.4)" in said
    assert "No other backend timed is faster." in said
    assert "Measured here" not in said


def test_where_it_does_not_pay_it_says_so(folder: Path) -> None:
    (folder / "bench" / "one.json").write_text(json.dumps(document(packed=2.0, int8=3.0)))
    assert "Packed bits do not pay here: torch int8 is 1.5× as fast." in text(page())


def test_a_layer_timed_on_this_machine_replaces_the_shipped_timing(folder: Path, bench: Bench) -> None:
    task = Timing("64,8,64,3,1", 1, 1)
    bench.request(task, "another page")
    bench.stands[task.kind] = Status("done", value=Benchmark.from_dict(document(packed=7.0, int8=1.0)))
    app = page()
    assert headlines(app)["Speed"][0] == "7.0× as fast"
    assert "**Measured here**" in text(app)


def test_a_wrong_result_has_no_speed_and_a_note_is_read_out(folder: Path) -> None:
    right = document(packed=5.0, int8=2.0)
    (folder / "bench" / "one.json").write_text(json.dumps({**right, "notes": ["Cores *slept*."]}))
    app = page()
    assert headlines(app)["Speed"][0] == "5.0× as fast"
    assert "Cores \\*slept\\*\\." in text(app)
    rows = [dict(row, matches_reference=False) for row in right["rows"]]  # type: ignore[attr-defined]
    (folder / "bench" / "one.json").write_text(json.dumps({**right, "rows": rows}))
    app = page()
    assert headlines(app)["Speed"][0] == "—"
    assert "A result differed from the reference" in text(app)
