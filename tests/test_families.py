"""cfcore.families: the table names every network that is to ship, and starts each where it can start."""

import pytest

from cfcore.config import Configuration
from cfcore.errors import ConfigError
from cfcore.families import PLANS, bases, cells
from cfcore.models import Network
from cfcore.runs import Run

RESNET = (1, 2, 4, 8, 16, 32, "layer")
VGG = (1, 4, 16, 64, "layer")


def runs(plan: str) -> dict[str, Run]:
    return bases(plan) | {run.folder: run for cell in cells(plan) for run in cell.runs}


@pytest.mark.parametrize("plan", PLANS)
def test_every_bit_width_has_every_group_size(plan: str) -> None:
    vgg = {"short": "vgg_small_half", "long": "vgg_small"}[plan]
    wanted = {Configuration.of(model=model, method="float") for model in ("resnet20", vgg)}
    for bits in (1, 2, 4):
        wanted |= {Configuration.of(method="binary-weight", weight_bits=bits, group_size=m) for m in RESNET}
    for w, a in ((1, 1), (1, 2), (2, 2), (4, 4), (8, 8)):
        wanted |= {Configuration(weight_bits=w, activation_bits=a, group_size=m) for m in RESNET}
    wanted |= {Configuration(weight_bits=bits, activation_bits=bits, order="sorted") for bits in (1, 2)}
    wanted |= {Configuration.of(model=vgg, method="binary-weight", group_size=m) for m in VGG}
    for bits in (1, 2):
        wanted |= {Configuration(vgg, "xnor", bits, bits, m) for m in VGG}
    found = [cell.network for cell in cells(plan)]
    assert len(found) == len(set(found))
    assert set(found) == wanted


def test_siblings_at_one_bit_and_of_vgg_at_two_have_three_seeds() -> None:
    several = {cell.network.name for cell in cells() if len(cell.runs) > 1}
    repeated = {
        "resnet20-binary-weight-w1a32": ("m1", "m16", "layer"),
        "resnet20-xnor-w1a1": ("m1", "m16", "layer"),
        "vgg_small_half-binary-weight-w1a32": ("m1", "m16"),
        "vgg_small_half-xnor-w1a1": ("m1", "m16"),
        "vgg_small_half-xnor-w2a2": ("m1", "m4", "m16", "m64", "layer"),
    }
    assert several == {f"{family}-{m}" for family, siblings in repeated.items() for m in siblings}
    assert all(cell.seeds == {"0", "1", "2"} for cell in cells() if cell.network.name in several)


@pytest.mark.parametrize("plan", PLANS)
def test_siblings_differ_in_nothing_but_their_sharing_and_seed(plan: str) -> None:
    for cell in cells(plan):
        if cell.network.method == "float":
            continue
        first = next(c for c in cells(plan) if c.network == cell.network.with_group_size(1))
        for run in cell.runs:
            assert run.start == first.runs[0].start
            assert run.recipe.to_dict() | {"seed": 0} == first.runs[0].recipe.to_dict()


@pytest.mark.parametrize("plan", PLANS)
def test_every_run_starts_from_one_of_the_same_tensors(plan: str) -> None:
    known = runs(plan)
    shapes = {
        run.configuration: {n: tuple(p.shape) for n, p in Network(run.configuration).named_parameters()}
        for run in known.values()
        if run.configuration.group_size == 1 and run.configuration.model == "resnet20"
    }
    for run in known.values():
        assert run.plan == plan
        for name in (run.start, run.teacher):
            assert name is None or name in known
        if run.start is not None and run.configuration in shapes:
            start = shapes[known[run.start].configuration]
            own = {n: s for n, s in shapes[run.configuration].items() if not n.endswith(("step", "slopes"))}
            assert own.items() <= start.items()


def test_a_float_network_is_trained_by_its_chain() -> None:
    (cell,) = [c for c in cells("short") if c.network.name == "resnet20-float"]
    assert cell.runs[0].start == "resnet20-float-1"
    assert bases("short")["resnet20-float-1"].start is None


def test_an_unknown_plan_is_refused() -> None:
    for ask in (cells, bases):
        with pytest.raises(ConfigError, match=r"^plan = 'quick' is not allowed: use one of short, long\."):
            ask("quick")
