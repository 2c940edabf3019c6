"""cfcore.evaluate: it counts right with either engine, says what it cannot do, and finds or makes the network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cfcore import checkpoint as disk
from cfcore import images as shipped
from cfcore.checkpoint import Checkpoint
from cfcore.config import Configuration
from cfcore.data import normalise
from cfcore.errors import Cancelled, CfcoreError, CheckpointError, ConfigError, DataError
from cfcore.evaluate import classify, default_engine, evaluate, obtain
from cfcore.export import pack_network, post_training, unpack_network
from cfcore.images import Images, load_test_set
from cfcore.manifest import Entry, record, sha256
from cfcore.models import Network, reestimate_batch_norm


def pictures(count: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def stored(**settings: Any) -> Checkpoint:
    torch.manual_seed(0)
    net = Network(Configuration.of(**{"width": 0.25, "group_size": 3, **settings}))
    reestimate_batch_norm(net, normalise(pictures(8)))
    return pack_network(net.eval())


def predicted(checkpoint: Checkpoint, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return unpack_network(checkpoint)(normalise(pixels)).argmax(1).numpy()


# ---- counting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 3, 32, 32), (4, 32, 32), (32, 32, 3), (4, 28, 28, 3)])
def test_pixels_of_another_form_are_refused(shape: tuple[int, ...]) -> None:
    for pixels in (np.zeros(shape, np.uint8), np.zeros((4, 32, 32, 3), np.float32)):
        with pytest.raises(DataError, match=r"Give uint8 \[N, 32, 32, 3\]"):
            Images(pixels, np.zeros(4, np.int64))
        for engine in ("packed", "simulated"):
            with pytest.raises(DataError, match=r"Give uint8 \[N, 32, 32, 3\]"):
                classify(stored(), pixels, engine)


@pytest.mark.parametrize(
    "labels",
    [np.zeros(3, np.int64), np.zeros((4, 1), np.int64), np.zeros(4, bool), np.zeros(4), np.array(["a"] * 4)],
    ids=lambda labels: f"{labels.shape}-{labels.dtype}",
)
def test_labels_of_another_form_are_refused(labels: NDArray[Any]) -> None:
    """[N, 1] compared with N answers would count up to N times each."""
    with pytest.raises(DataError, match=r"do not belong to 4 images\. Give whole numbers \[N\]"):
        Images(np.zeros((4, 32, 32, 3), np.uint8), labels)


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_of_no_class_are_refused(label: int) -> None:
    with pytest.raises(DataError, match="Give 0 to 9"):
        Images(np.zeros((1, 32, 32, 3), np.uint8), np.array([label]))


@pytest.mark.parametrize("engine", ["packed", "simulated"])
def test_mirrored_pixels_need_no_copy(engine: str) -> None:
    pixels = load_test_set().pixels[:3, :, ::-1]
    np.testing.assert_array_equal(classify(stored(), pixels, engine), classify(stored(), pixels.copy(), engine))


@pytest.mark.parametrize("engine", ["packed", "simulated"])
@pytest.mark.parametrize("count", [1, 99, 100, 101, 205])
def test_right_answers_are_counted(engine: str, count: int) -> None:
    """Labels made from the predictions, so that what is right is known: every third image is made wrong."""
    checkpoint, pixels = stored(), pictures(count, seed=1)
    answers = evaluate(checkpoint, Images(pixels, np.zeros(count, np.int64)), engine).predictions
    assert answers.shape == (count,)
    wrong = np.arange(count) % 3 == 0
    result = evaluate(checkpoint, Images(pixels, np.where(wrong, (answers + 1) % 10, answers)), engine)
    assert result.correct == count - wrong.sum()
    assert result.images == count
    assert result.accuracy == 100 * result.correct / count
    assert result.engine == engine
    assert result.seconds > 0
    assert np.array_equal(result.predictions, answers)
    assert np.issubdtype(result.predictions.dtype, np.integer)


def test_predictions_are_the_networks() -> None:
    for settings in ({"method": "float"}, {"method": "binary-weight"}, {"input_scale": True}, {}, {"weight_bits": 2}):
        checkpoint, pixels = stored(**settings), pictures(30, seed=1)
        found = evaluate(checkpoint, Images(pixels, np.zeros(30, np.int64)), "simulated").predictions
        assert np.array_equal(found, predicted(checkpoint, pixels))


@pytest.mark.parametrize("engine", ["packed", "simulated"])
def test_confidence_is_the_probability_of_the_class_named(engine: str) -> None:
    checkpoint, pixels = stored(), pictures(105, seed=1)
    found = evaluate(checkpoint, Images(pixels, np.zeros(105, np.int64)), engine)
    probabilities = classify(checkpoint, pixels, engine)
    assert probabilities.shape == (105, 10)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.confidences, probabilities[np.arange(105), found.predictions], rtol=1e-4)
    with torch.no_grad():
        expected = unpack_network(checkpoint)(normalise(pixels)).softmax(1).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)
    assert found.answers.predictions is found.predictions


def test_a_picture_is_classified_by_the_default_engine_or_not_at_all() -> None:
    checkpoint, pixels = stored(), pictures(1)
    np.testing.assert_array_equal(classify(checkpoint, pixels), classify(checkpoint, pixels, "packed"))
    with pytest.raises(ConfigError, match="engine = '' is not allowed"):
        classify(checkpoint, pixels, "")


def test_the_engines_agree() -> None:
    checkpoint, images = stored(activation_bits=2), Images(pictures(60, seed=1), np.zeros(60, np.int64))
    packed, simulated = (evaluate(checkpoint, images, engine).predictions for engine in ("packed", "simulated"))
    assert (packed == simulated).mean() > 0.95


def test_the_record_is_json() -> None:
    result = evaluate(stored(), Images(pictures(3), np.zeros(3, np.int64)))
    out = json.loads(json.dumps(result.to_dict()))
    assert {"accuracy", "correct", "images", "seconds", "engine", "model", "group_size", "source"} <= set(out)
    assert "predictions" not in out


def test_a_network_without_finite_logits_is_refused() -> None:
    made = stored()
    head = np.full_like(made.tensors["head.weight"], 3e38)
    huge = Checkpoint(made.configuration, {**made.tensors, "head.weight": head}, made.origin)
    with pytest.raises(CheckpointError, match="not finite numbers, so they name no class"), np.errstate(all="ignore"):
        evaluate(huge, Images(pictures(3), np.zeros(3, np.int64)))


def test_no_images_are_refused() -> None:
    network, none = stored(), Images(pictures(3)[:0], np.zeros(0, np.int64))
    with pytest.raises(CfcoreError, match=r"^There are no images to classify\. Choose at least one\."):
        evaluate(network, none)


# ---- engines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "engine"),
    [
        ({}, "packed"),
        ({"source": "post-training"}, "packed"),
        ({"input_scale": True}, "simulated"),
        ({"method": "binary-weight"}, "simulated"),
        ({"method": "float"}, "simulated"),
    ],
    ids=str,
)
def test_the_engine_of_a_network(settings: dict[str, Any], engine: str) -> None:
    assert default_engine(Configuration.of(**settings)) == engine
    assert evaluate(stored(**settings), Images(pictures(2), np.zeros(2, np.int64))).engine == engine


@pytest.mark.parametrize("engine", ["Packed", "gpu", "packed "])
def test_other_engines_are_refused(engine: str) -> None:
    with pytest.raises(ConfigError) as error:
        evaluate(stored(), Images(pictures(2), np.zeros(2, np.int64)), engine)
    assert str(error.value) == (
        f"engine = {engine!r} is not allowed: use one of packed, simulated. Choose simulated for any network."
    )


@pytest.mark.parametrize("settings", [{"method": "float"}, {"method": "binary-weight"}, {"input_scale": True}], ids=str)
def test_the_packed_engine_says_what_it_cannot_run(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"cannot run packed: .* Use engine simulated\.$"):
        evaluate(stored(**settings), Images(pictures(2), np.zeros(2, np.int64)), "packed")


# ---- progress --------------------------------------------------------------------------------------------------


def test_progress_rises_to_one() -> None:
    done: list[float] = []
    evaluate(stored(), Images(pictures(205), np.zeros(205, np.int64)), progress=done.append)
    assert done == [100 / 205, 200 / 205, 1.0]


def test_progress_can_cancel() -> None:
    done: list[float] = []

    def stop(share: float) -> None:
        done.append(share)
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        evaluate(stored(), Images(pictures(205), np.zeros(205, np.int64)), progress=stop)
    assert done == [100 / 205]


# ---- which network ---------------------------------------------------------------------------------------------


def ship(folder: Path, checkpoint: Checkpoint) -> None:
    configuration = checkpoint.configuration
    file = folder / f"{configuration.name}.safetensors"
    size = disk.save(checkpoint, file)
    record(
        Entry(configuration, 50.0, {"0": 50.0}, "own", 1, None, None, size, file.name, sha256(file), "by hand"), folder
    )


def test_a_shipped_network_is_loaded(tmp_path: Path) -> None:
    for checkpoint in (stored(), stored(method="float")):
        ship(tmp_path, checkpoint)
        found = obtain(checkpoint.configuration, tmp_path)
        assert found.configuration == checkpoint.configuration
        for name, values in checkpoint.tensors.items():
            np.testing.assert_array_equal(found.tensors[name], values)


def test_a_network_that_is_not_shipped_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    ship(tmp_path, stored(method="float", width=0.5))
    for width, advice in ((0.5, "Use --source post-training, or train one"), (0.25, "Train one")):
        with pytest.raises(CheckpointError) as error:
            obtain(Configuration(group_size=4, width=width), tmp_path)
        assert str(error.value) == (
            f"No trained network of resnet20-x{width}-xnor-w1a1-m4 is shipped. {advice}: "
            f"cfcore train --method xnor --group-size 4 --width {width}"
        )


def test_a_float_network_that_is_not_shipped_is_not_advised_to_be_quantized(tmp_path: Path) -> None:
    """--source post-training starts from the very network that is missing."""
    ship(tmp_path, stored())
    with pytest.raises(CheckpointError, match=r"^No trained network of vgg_small-float is shipped\.") as error:
        obtain(Configuration.of(model="vgg_small", method="float"), tmp_path)
    assert "post-training" not in str(error.value)


def test_a_tampered_network_is_refused(tmp_path: Path) -> None:
    ship(tmp_path, stored())
    file = tmp_path / f"{stored().configuration.name}.safetensors"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="its sha256 differs"):
        obtain(stored().configuration, tmp_path)


def test_a_post_training_network_is_made_from_the_shipped_float_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = stored(method="float")
    ship(tmp_path, start)
    calibration = pictures(200, seed=3)
    sheet = calibration.reshape(2, 100, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(64, 3200, 3)
    file = tmp_path / "cifar10_calibration.webp"
    Image.fromarray(sheet).save(file, lossless=True)
    monkeypatch.setitem(shipped.SHA256, file.name, sha256(file))
    configuration = Configuration(width=0.25, group_size=3, source="post-training", activation_bits=2)
    done: list[float] = []
    found = obtain(configuration, tmp_path, done.append)
    expected = post_training(start, configuration, calibration)
    assert found.configuration == configuration
    for name, values in expected.tensors.items():  # sums depend on where an array lies in memory, by a rounding
        np.testing.assert_allclose(found.tensors[name], values, rtol=1e-3, atol=1e-3)
    assert done[-1] == 1.0


def test_without_the_float_network_nothing_can_be_quantized(tmp_path: Path) -> None:
    ship(tmp_path, stored())
    with pytest.raises(CheckpointError, match=r"^No trained network of resnet20-x0\.25-float is shipped"):
        obtain(Configuration(width=0.25, group_size=3, source="post-training"), tmp_path)
