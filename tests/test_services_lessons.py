"""What the lessons reveal, held to cfcore and to arithmetic spelled out."""

import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from app.services import kept, lessons, networks
from app.services.lessons import CANDIDATE, ONE_BIT
from app.services.lessons_tasks import IMAGES, Counted, Survival
from cfcore.config import Configuration, LayerModel
from cfcore.errors import CheckpointError
from cfcore.formula import estimate
from cfcore.manifest import find
from cfcore.results import Paired


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the list of what is shipped, to be cut down."""
    shutil.copy(networks.folder() / "manifest.json", tmp_path)
    monkeypatch.setenv("CFCORE_PRETRAINED", str(tmp_path))
    return tmp_path


def keep(folder: Path, **wanted: object) -> None:
    """Leave only some rows of the manifest."""
    file = folder / "manifest.json"
    rows = json.loads(file.read_text())["networks"]
    kept = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    file.write_text(json.dumps({"networks": kept}))


def test_the_nearest_guess_is_that_of_the_nearest_ratio() -> None:
    assert lessons.nearest((10, 1000), 99) == 10
    assert lessons.nearest((10, 1000), 101) == 1000


def test_sharing_is_told_from_the_seeds_of_the_manifest() -> None:
    shared = lessons.shared()
    alone, together = (find(ONE_BIT.with_group_size(m)) for m in (1, "layer"))
    assert shared is not None
    assert alone is not None
    assert together is not None
    means = [statistics.mean(entry.seeds.values()) for entry in (together, alone)]
    assert shared.difference.mean == pytest.approx(means[0] - means[1])
    assert [s.label for s in (shared.seeds[0], shared.seeds[-1])] == ["m = 1", "layer-wise"]
    assert all(len(group.accuracies) > 1 for group in shared.seeds)
    alone, together = (find(lessons.ADDED.with_group_size(m)) for m in (1, "layer"))
    assert alone is not None
    assert together is not None
    assert shared.added == Paired.of(together.seeds, alone.seeds) is not None
    assert shared.more_error is None or shared.more_error > 0


def test_without_several_seeds_there_is_no_comparison(folder: Path) -> None:
    keep(folder, group_size=1)
    assert lessons.shared() is None


def test_without_a_float_network_nothing_is_rounded(folder: Path) -> None:
    keep(folder, method="binary-weight")
    assert lessons.survival() is None


def test_without_timings_nothing_is_timed(folder: Path) -> None:
    assert lessons.timed() == []
    ways, near = lessons.ways()
    assert near is None
    assert "measured" not in {way.kind for way in ways}


def test_a_missing_manifest_is_said(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"There is no manifest\.json"):
        lessons.shared()


def test_the_sum_of_signs_is_that_of_the_products() -> None:
    signs = lessons.signs()
    products = [a * b for a, b in zip(signs.activations, signs.weights, strict=True)]
    assert signs.step.total == signs.float_sum == sum(products)
    assert signs.agree == products.count(1)
    assert 2 * signs.agree - signs.n == sum(products)
    assert len(signs.guesses) == 4
    assert signs.step.total in signs.guesses


def test_the_fastest_has_the_least_time() -> None:
    for timed in lessons.timed():
        assert (timed.asked.weight_bits, timed.asked.activation_bits) == (4, 4)
        for row in timed.rows:
            times = {"packed": 1.0, **row.times_faster}  # in packed medians
            assert lessons.fastest(row) == min(times, key=times.__getitem__)
        lost = lessons.first_loss(timed)
        before = timed.rows[: timed.rows.index(lost)] if lost else timed.rows
        assert all(row.pays for row in before)
        assert lost is None or not lost.pays


def test_the_ways_of_counting_are_those_of_the_cost_model() -> None:
    ways, near = lessons.ways()
    times = {way.how: way.times for way in ways}
    assert near is not None
    assert times["candidate"] == estimate(CANDIDATE).speedup
    assert times["vectors"] == pytest.approx(32 / 3)
    assert times["clock"] == near.times_faster
    assert near.conv.channels == LayerModel().channels


class Stopped(Exception):
    pass


def test_the_task_counts_one_bit_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `cfcore evaluate` does, on the first images."""
    from cfcore.evaluate import evaluate, obtain
    from cfcore.images import load_test_set

    monkeypatch.setattr(kept, "PART", 100)
    monkeypatch.setattr(kept, "ANSWERS", kept.Kept(20))
    seen: list[tuple[Counted, ...]] = []

    def report(share: float, step: str, value: tuple[Counted, ...] | None = None) -> None:
        if value:
            seen.append(value)
            raise Stopped

    task = Survival("resnet20", networks.folder())
    with pytest.raises(Stopped):
        task.run(report)
    ((one,),) = seen
    by_hand = evaluate(obtain(task.one_bit), load_test_set().first(100), "simulated")
    assert (one.configuration, one.correct, one.images) == (task.one_bit, by_hand.correct, 100)


def test_scores_begin_with_float_and_end_with_what_was_trained() -> None:
    task = Survival("resnet20", networks.folder())
    counted = [Counted(configuration, 900, IMAGES) for configuration in task.networks]
    labels = [score.label for score in lessons.scores(counted)]
    assert labels == ["float", "4 bits", "2 bits", "1 bit", "1 bit, trained"]
    assert [s.label for s in lessons.scores(counted) if s.chosen] == labels[1:-1]
    assert task.networks[-1] == replace(task.one_bit, source="trained")
    assert task.networks[-2] == Configuration.of(method="float")
