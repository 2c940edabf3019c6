"""app.services.predictions and its tasks: both networks are asked, answers are kept, and the code says the same."""

import base64
import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.services import kept, networks, picture, predictions, tasks
from app.services.kept import Kept
from app.services.predictions_tasks import Classify, Compare, Compared
from cfcore import evaluate as evaluation
from cfcore.comparison import Comparison
from cfcore.config import Configuration
from cfcore.errors import Cancelled, DataError
from cfcore.evaluate import classify, evaluate, obtain
from cfcore.images import Images, load_test_set

DEFAULT = Configuration()
IMAGES = 150


def quiet(share: float, step: str, value: object = None) -> None:
    assert 0 <= share <= 1


@pytest.fixture(scope="module")
def few() -> Images:
    return load_test_set().first(IMAGES)


@pytest.fixture(autouse=True)
def worker(few: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker process that knows nothing yet, and has 150 images, of which 60 come first."""
    monkeypatch.setattr(tasks, "test_set", lambda folder: few)
    monkeypatch.setattr(kept, "PART", 60)
    monkeypatch.setattr(kept, "NETWORKS", Kept(4))
    monkeypatch.setattr(kept, "ANSWERS", Kept(200))


@pytest.fixture
def comparison() -> Comparison:
    found: Comparison = Compare(DEFAULT, networks.folder()).run(quiet).comparison
    return found


# ---- the worker's tasks


def test_both_networks_are_asked_about_some_images_then_about_all(few: Images) -> None:
    told: list[tuple[float, str, Compared | None]] = []
    found = Compare(DEFAULT, networks.folder()).run(lambda share, step, value=None: told.append((share, step, value)))
    (first,) = [value for _, _, value in told if value is not None]
    assert (len(first.comparison), len(found.comparison)) == (60, 150)
    assert found.engine == "packed"
    for configuration, engine, answers in (
        (DEFAULT.float_reference, "simulated", found.comparison.before),
        (DEFAULT, "packed", found.comparison.after),
    ):
        expected = evaluate(obtain(configuration), few, engine)
        assert np.array_equal(answers.predictions, expected.predictions)
        np.testing.assert_allclose(answers.confidences, expected.confidences, atol=1e-4)
    assert np.array_equal(found.comparison.labels, few.labels)
    assert np.array_equal(first.comparison.after.predictions, found.comparison.after.predictions[:60])
    assert all(0 <= share <= 1 for share, _, _ in told)
    assert list(dict.fromkeys(step for _, step, _ in told)) == [
        "loading",
        "asking both networks about the first 60 test images",
        "asking both networks about all 150 test images",
    ]


def test_what_a_network_has_answered_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def counting(checkpoint, images, engine, progress):  # type: ignore[no-untyped-def]
        asked.append((checkpoint.configuration.name, len(images)))
        return evaluate(checkpoint, images, engine, progress)

    monkeypatch.setattr(evaluation, "evaluate", counting)
    other = DEFAULT.with_group_size("layer")
    for configuration in (DEFAULT, other, DEFAULT):
        Compare(configuration, networks.folder()).run(quiet)
    names = [DEFAULT.float_reference.name, DEFAULT.name, other.name]
    assert sorted(asked) == sorted((name, images) for name in names for images in (60, 60, 30))


def test_what_was_stopped_goes_on_where_it_was() -> None:
    def stop_at_all(share: float, step: str, value: object = None) -> None:
        if "all" in step and share > 0.3:  # of four parts
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        Compare(DEFAULT, networks.folder()).run(stop_at_all)
    asked = {(key[0], key[-1]) for key in kept.ANSWERS.values}
    assert asked == {(DEFAULT.float_reference, 0), (DEFAULT, 0), (DEFAULT.float_reference, 1)}


def test_a_network_quantized_now_can_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = Configuration(weight_bits=8, activation_bits=8, source="post-training")
    steps: list[str] = []
    found = Compare(configuration, networks.folder()).run(lambda share, step, value=None: steps.append(step))
    assert found.engine == "simulated"
    assert "quantizing, with 500 training images" in steps
    assert found.comparison.count("now wrong") < 15  # 8 bits lose next to nothing


def test_a_picture_is_shown_to_both(few: Images) -> None:
    task = Classify(DEFAULT, networks.folder(), few.pixels[3].tobytes())
    floats, own = task.run(quiet)
    for found, configuration in ((floats, DEFAULT.float_reference), (own, DEFAULT)):
        np.testing.assert_allclose(found, classify(obtain(configuration), few.pixels[3:4])[0], atol=1e-5)
    (alone,) = Classify(DEFAULT.float_reference, networks.folder(), task.pixels).run(quiet)
    assert alone == floats
    assert "pixels" not in repr(task)  # a log may hold the task, never the picture


def test_only_a_few_results_are_kept() -> None:
    made: list[int] = []
    kept = Kept(2)
    for key in (1, 2, 1, 3, 1, 2):
        assert kept.get(key, lambda key=key: made.append(key) or key) == key  # type: ignore[misc]
    assert made == [1, 2, 3, 2]
    assert len(kept.values) == 2


# ---- what the page shows


def test_images_are_chosen_by_name(comparison: Comparison) -> None:
    every = predictions.which(comparison, "all", None, None)
    assert every == list(range(IMAGES))
    cats = predictions.which(comparison, "all", "cat", None)
    shown = predictions.shown(comparison, cats)
    assert {row.true for row in shown} == {"cat"}
    as_dogs = predictions.which(comparison, "all", "cat", "dog")
    assert as_dogs == [row.image for row in shown if row.after == "dog"]
    assert all(0 < row.before_confidence <= 100 for row in shown)


def test_a_thumbnail_is_the_image_to_the_pixel(few: Images) -> None:
    (source,) = predictions.thumbnails([7])
    with Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))) as image:
        assert np.array_equal(np.asarray(image), few.pixels[7])


def test_without_the_test_set_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_PRETRAINED", str(tmp_path))
    with pytest.raises(DataError, match="Restore it from the project"):
        predictions.thumbnails([0])


def test_rows_hold_what_the_charts_show(comparison: Comparison) -> None:
    rows = predictions.confusion_rows(comparison)
    assert [row["true"] for row in rows] == list(predictions.CLASSES)
    assert all(sum(value for key, value in row.items() if key != "true") == 0 for row in rows)
    true, named, more = predictions.commonest_mistake(comparison)
    assert next(row for row in rows if row["true"] == true)[named] == more
    assert more == max(row[name] for row in rows for name in predictions.CLASSES if name != row["true"])
    bins = predictions.confidence_bins(comparison)
    assert sum(found.lost for found in bins) == comparison.count("now wrong")
    assert sum(found.right for found in bins) == comparison.count("now wrong") + comparison.count("both right")


def test_the_likeliest_classes_come_first() -> None:
    assert predictions.top([0.0, 0.2, 0.5, 0.3, *[0.0] * 6], 3) == [("bird", 50), ("cat", 30), ("automobile", 20)]


def test_probabilities_are_one_row_a_class() -> None:
    rows = predictions.class_probabilities(["Float", "This network"], [[0.1] * 10, [0.0] * 9 + [1.0]])
    assert rows[-1] == {"class": "truck", "Float": 10, "This network": 100}
    assert len(rows) == 10


# ---- the code


@pytest.mark.parametrize(
    "configuration",
    [
        DEFAULT,
        Configuration.of(method="binary-weight", group_size="layer"),
        Configuration(weight_bits=4, activation_bits=4, group_size=5, order="sorted", source="post-training"),
    ],
    ids=lambda c: c.name,
)
def test_the_python_shown_gives_the_numbers_shown(
    configuration: Configuration, few: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Compare(configuration, networks.folder()).run(quiet).comparison
    monkeypatch.setattr("cfcore.images.load_test_set", lambda: few)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(predictions.python(configuration), {})
    changes = [f"{change} {found.count(change)}" for change in ("now wrong", "now right", "both wrong")]
    assert said.getvalue().splitlines() == changes + [str(row) for row in found.lost_by_confidence(predictions.EDGES)]


@pytest.mark.parametrize("configuration", [DEFAULT, DEFAULT.float_reference], ids=lambda c: c.name)
def test_the_python_shown_for_a_picture_gives_its_numbers(
    configuration: Configuration, few: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, said = io.BytesIO(), io.StringIO()
    Image.fromarray(few.pixels[5]).save(out, "PNG")
    found = picture.read(out.getvalue())
    (tmp_path / "seen.png").write_bytes(found.seen)
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(said):
        exec(predictions.python_picture(configuration), {})
    answers = Classify(configuration, networks.folder(), found.pixels).run(quiet)
    shown = [f"{name} {share:.1f} %" for name, share in predictions.top(answers[-1], 10)]
    assert said.getvalue().splitlines()[:3] == shown[:3]  # further down they may tie


def test_the_command_names_the_engine() -> None:
    assert predictions.command(DEFAULT).endswith("--group-size 16 --source trained --engine packed")
    assert predictions.command(Configuration.of(method="binary-weight")).endswith("--engine simulated")


def test_the_server_loads_neither_torch_nor_the_kernels_for_this_page() -> None:
    code = (
        "import sys, streamlit\n"
        "from app.services import picture, predictions\n"
        "predictions.thumbnails([0])\n"
        "print([name for name in ('torch', 'numba') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
