"""The door to the scaling factors: what is there at once, what takes the worker, and the weights of a group."""

import ast
import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from app.services import networks, scaling
from app.views import words_scaling
from cfcore import sharing
from cfcore.config import Configuration
from cfcore.errors import CheckpointError
from cfcore.models import Network
from cfcore.starts import latent_file, save_latent

DEFAULT = Configuration()
POST = Configuration(source="post-training")


@pytest.fixture
def base(folder: Path) -> Path:
    """The same with untrained latent weights of the default's base."""
    file = latent_file("resnet20-xnor-w1a1-m1-base", folder)
    torch.manual_seed(7)  # not the seed that the shipped network was trained from: their signs would be alike
    save_latent(Network(DEFAULT.with_group_size(1)), {"plan": "own"}, file)
    return file


def test_the_server_needs_no_torch_at_one_bit() -> None:
    code = (
        "import sys\nfrom app.services import scaling\nfrom cfcore.config import Configuration\n"
        "c = Configuration(source='post-training')\nfound = scaling.at_once(c)\n"
        "scaling.group_weights(c, found.layer('convs.18'), 0)\nscaling.by_size(c, 'convs.18')\n"
        "print([name for name in ('torch', 'numba') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_there_at_once(folder: Path) -> None:
    trained, post = scaling.at_once(DEFAULT), scaling.at_once(POST)
    assert trained is not None
    assert post is not None
    assert trained.latent == ""
    assert trained.layer("convs.18").fit is None
    assert post == sharing.factors(POST, folder)
    assert not scaling.can_search(DEFAULT)


def test_more_bits_are_for_the_worker(folder: Path) -> None:
    more = Configuration(source="post-training", weight_bits=2)
    assert scaling.at_once(more) is None
    assert scaling.can_search(more)
    assert scaling.stored_alone(more) is None
    shares: list[float] = []
    found = scaling.search(more).run(lambda share, step: shares.append(share))
    assert found == sharing.factors(more, folder)
    assert shares == sorted(shares)
    assert scaling.by_size(more, "convs.18") == {}


def test_what_is_not_shipped_is_not_there(folder: Path) -> None:
    for missing in (Configuration(weight_bits=2), Configuration(model="resnet56", source="post-training")):
        assert scaling.at_once(missing) is None
        assert not scaling.can_search(missing)


def test_latent_weights_are_found_once_they_are_there(folder: Path) -> None:
    before = scaling.at_once(DEFAULT)
    save_latent(Network(DEFAULT.with_group_size(1)), {}, latent_file("resnet20-xnor-w1a1-m1-base", folder))
    after = scaling.at_once(DEFAULT)
    assert before is not None
    assert after is not None
    assert (before.latent, after.latent) == ("", "resnet20-xnor-w1a1-m1-base.safetensors")
    assert [layer.alphas for layer in before.layers] == [layer.alphas for layer in after.layers]


def test_damaged_latent_weights_are_refused(base: Path) -> None:
    base.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="is damaged"):
        scaling.at_once(DEFAULT)


def test_the_weights_of_a_group_are_those_of_the_file(base: Path) -> None:
    found = scaling.at_once(DEFAULT)
    entry = networks.trained(DEFAULT)
    assert found is not None
    assert entry is not None
    layer = found.layer("convs.18")
    weights = scaling.group_weights(DEFAULT, layer, 2)
    stored = networks.stored(entry)
    q = stored.levels(networks.layers(DEFAULT)["convs.18"])
    assert layer.fit is not None
    own = [layer.fit.own[f] for f in weights.filters]
    assert own == sorted(own, reverse=True) == list(weights.own)
    assert len(weights.filters) == 8
    assert set(weights.filters) < set(range(32, 48))
    assert max(layer.fit.own[32:48]) == own[0]
    assert min(layer.fit.own[32:48]) == own[-1]
    alpha = layer.alphas[2]
    expected = alpha * q[list(weights.filters), :8]
    np.testing.assert_allclose(np.array(weights.quantized), expected, rtol=1e-6)
    assert weights.levels == pytest.approx((-alpha, alpha))
    assert weights.level_counts == ((q[32:48] < 0).sum(), (q[32:48] > 0).sum())
    assert sum(weights.counts) == 16 * 576
    assert weights.limit >= alpha
    assert weights.kept == pytest.approx(0.5, abs=0.05)  # the base is untrained, so its signs are chance


def test_post_training_quantizes_the_float_weights() -> None:
    found = scaling.at_once(POST)
    assert found is not None
    layer = found.layer("convs.7")
    weights = scaling.group_weights(POST, layer, 1)
    assert weights.kept == 1
    assert weights.latent is not None
    np.testing.assert_array_equal(np.sign(weights.latent), np.sign(weights.quantized))


def test_without_latent_weights_the_levels_remain(folder: Path) -> None:
    found = scaling.at_once(DEFAULT)
    assert found is not None
    weights = scaling.group_weights(DEFAULT, found.layer("convs.1"), 0)
    assert weights.latent is None
    assert weights.counts == ()
    assert sum(weights.level_counts) == 16 * 144


def test_every_group_size_of_a_layer_costs_what_its_network_says(folder: Path) -> None:
    costs = scaling.by_size(POST, "convs.18")
    assert list(costs) == [1, 2, 4, 8, 16, 32, 64]
    for m in (1, 4, 64):
        found = scaling.at_once(POST.with_group_size("layer" if m == 64 else m))
        assert found is not None
        for order in ("index", "sorted"):
            assert costs[m][order] == pytest.approx(found.layer("convs.18").increase_by_order(order))


def test_rows_hold_the_numbers_of_the_charts() -> None:
    found = scaling.at_once(POST)
    assert found is not None
    layer = found.layer("convs.18")
    assert layer.fit is not None
    rows = [row for row in scaling.rows(found) if row["layer"] == "convs.18"]
    assert [row["alpha"] for row in rows] == list(layer.alphas)
    assert rows[1]["filters"] == " ".join(map(str, range(16, 32)))
    assert sum(row["added_error"] for row in rows) == pytest.approx(layer.added())
    assert [row["own_alpha"] for row in scaling.filter_rows(layer)] == list(layer.fit.own)
    assert scaling.order_rows(found)[-1] == {
        "layer": "convs.18",
        "index": layer.increase_by_order("index"),
        "sorted": layer.increase_by_order("sorted"),
    }
    assert scaling.size_rows({2: {"index": 1.0, "sorted": 0.5}}) == [{"group_size": 2, "index": 1.0, "sorted": 0.5}]


@pytest.mark.parametrize(
    "configuration", [DEFAULT, Configuration(source="post-training", order="sorted", group_size=4)]
)
def test_the_snippet_prints_the_same_numbers(configuration: Configuration) -> None:
    found = scaling.at_once(configuration)
    assert found is not None
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(scaling.python(configuration, "convs.18", 3), {})
    layer = found.layer("convs.18")
    assert f"convs.18 {layer.alphas}" in said.getvalue()
    assert f"{layer.alphas[3]} {layer.members[3]}" in said.getvalue()
    if layer.fit:
        assert f"{layer.added(3)} {layer.increase(3)}" in said.getvalue()
        own = [layer.fit.own[f] for f in layer.members[3]]
        assert f"{own} {layer.whole(3)}" in said.getvalue()
        *_, whole, sizes = map(ast.literal_eval, said.getvalue().splitlines()[-2:])
        assert sizes == scaling.by_size(configuration, "convs.18")
        added = float(words_scaling.insight(found).split("**")[1].removesuffix(" %"))
        assert round(whole[configuration.order], 1) == added
        assert f"{whole['sorted']:.2f} %" in words_scaling.orders(found)


def test_what_all_sessions_share_cannot_be_written_to() -> None:
    binary = Configuration.of(method="binary-weight", group_size=16)
    entry, latent = networks.trained(binary), scaling.latent(binary)
    assert entry is not None
    assert latent is not None
    for tensors in (networks.stored(entry).tensors, latent.tensors):
        for values in tensors.values():
            with pytest.raises(ValueError, match="read-only"):
                values[...] = 0
