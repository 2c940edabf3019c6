"""The grid as a table: every network that ships, what it starts from, and how it is trained.

A family is one model with one method and numbers of bits. Its base is an m = 1 network, trained from the float network;
one network of every group size then goes on from the base, m = 1 too, so that they differ in nothing but their sharing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cfcore.config import Configuration, GroupSize, Recipe
from cfcore.errors import bad_value
from cfcore.runs import Run

BASE = "-base"  # at the end of a base's name
PLANS = ("short", "long")  # on two cores, on an accelerator; a long one replaces a short one


def _sgd(epochs: int, learning_rate: float) -> Recipe:
    """For a network that starts near its end: less weight decay than from scratch."""
    return Recipe(epochs, learning_rate=learning_rate, weight_decay=1e-4, warmup=0.1)


def _adam(epochs: int, learning_rate: float, **more: Any) -> Recipe:
    """For one-bit activations: no weight decay, as nothing of a latent weight but its sign is used."""
    plain = Recipe(epochs, optimizer="adam", learning_rate=learning_rate, weight_decay=0.0, label_smoothing=0.0)
    return replace(plain, warmup=0.02, **more)


@dataclass(frozen=True)
class Family:
    """A base and its siblings.

    base    recipes of the base by plan: runs one after the other, each from the weights of the one before; a plan that
            is not named does not train the family
    cell    recipe of every sibling, by plan; none for a float network, whose base is what ships
    groups  group sizes of the siblings
    sorted  group sizes trained with filters in sorted order too
    seeds   of the siblings named in `repeated`; the others have seed 0
    """

    network: Configuration
    base: dict[str, tuple[Recipe, ...]]
    cell: dict[str, Recipe] | None = None
    groups: tuple[GroupSize, ...] = ()
    sorted: tuple[GroupSize, ...] = ()
    repeated: tuple[GroupSize, ...] = ()


RESNET: tuple[GroupSize, ...] = (1, 2, 4, 8, 16, 32, "layer")
VGG: tuple[GroupSize, ...] = (1, 4, 16, 64, "layer")
SEEDS = (0, 1, 2)
REPEATED: tuple[GroupSize, ...] = (1, 16, "layer")


def _binary_weight(bits: int, model: str = "resnet20") -> Configuration:
    return Configuration.of(model=model, method="binary-weight", weight_bits=bits, group_size=1)


def _xnor(weight_bits: int, activation_bits: int, model: str = "resnet20") -> Configuration:
    return Configuration(model, "xnor", weight_bits, activation_bits, group_size=1)


FAMILIES = (
    Family(
        Configuration.of(method="float"),
        {"short": (Recipe(), Recipe(epochs=36, learning_rate=0.1)), "long": (Recipe(epochs=200),)},
    ),
    Family(
        _xnor(1, 1),
        {
            # more than an hour of two cores each: what one machine has finished, another goes on from (`grid`)
            "short": tuple(_adam(60, rate, scaling="learned") for rate in (2e-3, 1e-3)),
            "long": (_adam(400, 2e-3, distill=0.5, scaling="learned"),),
        },
        # a rate as high as the base's: at a low one filters hardly learn to do with a factor that they share
        {"short": _adam(20, 4e-3, scaling="learned"), "long": _adam(100, 2e-3, scaling="learned")},
        RESNET,
        sorted=(16,),
        repeated=REPEATED,
    ),
    Family(
        _binary_weight(1),
        {"short": (_sgd(20, 0.08),), "long": (_sgd(200, 0.1),)},
        {"short": _sgd(2, 0.01), "long": _sgd(20, 0.01)},
        RESNET,
        repeated=REPEATED,
    ),
    Family(
        _xnor(4, 4),
        {"short": (_sgd(8, 0.02),), "long": (_sgd(100, 0.05),)},
        {"short": _sgd(2, 0.005), "long": _sgd(20, 0.01)},
        RESNET,
    ),
    Family(
        _xnor(2, 2),
        {"short": (_sgd(16, 0.05),), "long": (_sgd(200, 0.05),)},
        {"short": _sgd(2, 0.01), "long": _sgd(20, 0.01)},
        RESNET,
        sorted=(16,),
    ),
    Family(
        _xnor(1, 2),
        {"short": (_sgd(16, 0.05),), "long": (_sgd(200, 0.05),)},
        {"short": _sgd(2, 0.01), "long": _sgd(20, 0.01)},
        RESNET,
    ),
    Family(
        _binary_weight(2),
        {"short": (_sgd(8, 0.04),), "long": (_sgd(100, 0.05),)},
        {"short": _sgd(2, 0.01), "long": _sgd(20, 0.01)},
        RESNET,
    ),
    Family(
        _binary_weight(4),
        {"short": (_sgd(4, 0.02),), "long": (_sgd(100, 0.05),)},
        {"short": _sgd(1, 0.005), "long": _sgd(20, 0.01)},
        RESNET,
    ),
    Family(
        _xnor(8, 8),
        {"short": (_sgd(4, 0.01),), "long": (_sgd(100, 0.05),)},
        {"short": _sgd(1, 0.005), "long": _sgd(20, 0.01)},
        RESNET,
    ),
    # A VGG-small has 15 times the multiply-accumulates of ResNet-20: two cores train it at half its width.
    Family(
        Configuration.of(model="vgg_small_half", method="float"),
        {"short": tuple(Recipe(epochs, learning_rate=0.1) for epochs in (16, 60))},
    ),
    Family(
        _binary_weight(1, "vgg_small_half"),
        {"short": (_sgd(10, 0.02),)},
        {"short": _sgd(1, 0.005)},
        VGG,
        repeated=(1, 16),
    ),
    Family(
        _xnor(1, 1, "vgg_small_half"),
        {"short": (_adam(30, 1e-3, activations_first=0.3),)},
        {"short": _adam(1, 1e-4)},
        VGG,
        repeated=(1, 16),
    ),
    Family(
        _xnor(2, 2, "vgg_small_half"),
        {"short": (_sgd(8, 0.02),)},
        {"short": _sgd(1, 0.005)},
        VGG,
        repeated=VGG,
    ),
    Family(
        Configuration.of(model="vgg_small", method="float"),
        {"long": (Recipe(epochs=200, learning_rate=0.1),)},
    ),
    Family(
        _binary_weight(1, "vgg_small"),
        {"long": (_sgd(200, 0.05),)},
        {"long": _sgd(20, 0.01)},
        VGG,
    ),
    Family(
        _xnor(1, 1, "vgg_small"),
        {"long": (_adam(300, 2e-3, activations_first=0.35, distill=0.5),)},
        {"long": _adam(20, 2e-4)},
        VGG,
    ),
    Family(
        _xnor(2, 2, "vgg_small"),
        {"long": (_sgd(200, 0.05),)},
        {"long": _sgd(20, 0.01)},
        VGG,
    ),
)

# ---- the table as runs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A network that ships, and the runs that make it: one for each seed."""

    network: Configuration
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> set[str]:
        return {str(run.recipe.seed) for run in self.runs}


def cells(plan: str = "short") -> list[Cell]:
    """Every network that ships. Raises ConfigError for another plan."""
    return [cell for family in families(plan) for cell in _siblings(family, plan)]


def bases(plan: str = "short") -> dict[str, Run]:
    """The runs that no file comes from, by name: others start from them. Raises ConfigError for another plan."""
    runs = [run for family in families(plan) for run in _base(family, plan)]
    return {run.folder: run for run in runs}


def families(plan: str = "short") -> list[Family]:
    """What a plan trains. Raises ConfigError for another plan."""
    return [family for family in FAMILIES if check_plan(plan) in family.base]


def check_plan(plan: str) -> str:
    """Refuse a plan that there is none of."""
    if plan not in PLANS:
        raise bad_value("plan", plan, "one of " + ", ".join(PLANS), "Choose short on a processor.")
    return plan


def _base(family: Family, plan: str) -> list[Run]:
    """The base's runs; each but the last has its number behind its name, and a float network's last one is a cell."""
    recipes, floats = family.base[plan], family.network.float_reference.name
    quantized = family.network.method != "float"
    last = family.network.name + (BASE if quantized else "")
    names = [f"{last}-{i + 1}" for i in range(len(recipes) - 1)] + [last]
    first = floats if quantized else None
    runs = [
        Run(family.network, recipe, name, start, floats if recipe.distill else None, plan)
        for recipe, name, start in zip(recipes, names, [first, *names], strict=False)
    ]
    return runs if quantized else runs[:-1]


def _siblings(family: Family, plan: str) -> list[Cell]:
    if family.cell is None:
        before = _base(family, plan)
        last = Run(family.network, family.base[plan][-1], None, before[-1].folder if before else None, plan=plan)
        return [Cell(family.network, (last,))]
    recipe, base = family.cell[plan], _base(family, plan)[-1].folder
    networks = [family.network.with_group_size(m) for m in family.groups]
    networks += [replace(family.network.with_group_size(m), order="sorted") for m in family.sorted]
    return [
        Cell(
            network,
            tuple(
                Run(network, replace(recipe, seed=seed), start=base, plan=plan)
                for seed in (SEEDS if network.group_size in family.repeated and network.order == "index" else (0,))
            ),
        )
        for network in networks
    ]
