"""cfcore.train with the network compiled, as a user's is: it learns what the plain one learns."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from training import coloured, network, recipe, run

from cfcore import train as training

pytestmark = [
    pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),  # torch.compile's own doing
]


@pytest.mark.parametrize(
    ("settings", "how", "taught"),
    [
        (
            {"weight_bits": 2, "activation_bits": 2},
            {"activations_first": 0.5, "distill": 0.5, "learning_rate": 1e-4},
            True,
        ),
        ({"group_size": "layer"}, {"scaling": "learned", "optimizer": "adam", "learning_rate": 1e-5}, False),
    ],
    ids=["activations first, with a teacher", "learned scales"],
)
def test_compiled_it_learns_the_same(
    settings: dict[str, Any], how: dict[str, Any], taught: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums in another order tip a sign now and then; at a low rate the two do not part for it."""
    settings = {"model": "vgg_small", "width": 0.0625, **settings}
    teacher = network(seed=4, method="float", model="vgg_small", width=0.0625) if taught else None
    compiled = run(network(**settings), tmp_path / "compiled", teacher, **how)
    monkeypatch.setattr(training, "_compiled", lambda network: network)
    plain = run(network(**settings), tmp_path / "plain", teacher, **how)
    assert len(plain) == recipe().epochs * len(coloured()) // recipe().batch_size
    assert [event.loss for event in compiled] == pytest.approx([event.loss for event in plain], rel=0.01)
