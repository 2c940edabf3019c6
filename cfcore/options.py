"""Command-line options made from the settings' dataclasses, so that names and defaults stand in `config` alone."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any

import typer

from cfcore.architecture import architecture
from cfcore.config import METHODS, MODELS, ORDERS, SOURCES, Configuration, Recipe, parse_group_size

HELP = {
    "model": "Network: " + ", ".join(MODELS) + ".",
    "method": "Method: " + ", ".join(METHODS) + ".",
    "weight_bits": "Bits of a weight, 1 to 8; left out, 1, or 32 with method float.",
    "activation_bits": "Bits of an activation, 1 to 8 with method xnor; left out, 1, or 32 with the others.",
    "group_size": 'Filters that share one scaling factor: 1, 2, 3, … or "layer".',
    "order": "Which filters form a group: " + ", ".join(ORDERS) + ".",
    "source": "Where the network comes from: " + ", ".join(SOURCES) + ".",
    "width": "Channel multiplier.",
    "input_scale": "Scale outputs by XNOR-Net's K map.",
    "epochs": "Passes over the training images.",
    "batch_size": "Images per step.",
    "optimizer": "sgd or adam.",
    "learning_rate": "Peak learning rate.",
    "weight_decay": "L2 factor on weights.",
    "label_smoothing": "Share of the target spread over all classes.",
    "warmup": "Share of the steps with a rising learning rate.",
    "estimator": "Gradient of the sign: clip or polynomial.",
    "scaling": "Scaling factors: fitted to the weights or, at one bit, learned.",
    "activations_first": "Share of the epochs with float weights.",
    "distill": "Weight of the teacher's outputs; needs --teacher.",
    "precision": "bf16 or fp32.",
    "seed": "Seed of weights, order and augmentation.",
}
FOLLOWS_METHOD = ("weight_bits", "activation_bits")  # left out, they follow the method
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "GroupSize": str}

Command = Callable[..., None]


def configured(command: Command) -> Command:
    """Give a command the options of a Configuration, which it receives as `configuration`."""
    return _takes("configuration", _options(Configuration), _configuration)(command)


def with_recipe(command: Command) -> Command:
    """Give a command the options of a Recipe, which it receives as `recipe`."""
    return _takes("recipe", _options(Recipe), lambda given: Recipe(**given))(command)


def spelled(command: str, configuration: Configuration, recipe: Recipe | None = None, **options: str | None) -> str:
    """The command line that asks for these settings; what is at its default is left out.

    >>> spelled("train", Configuration.of(method="float"), Recipe(epochs=5), start=None)
    'cfcore train --method float --epochs 5'
    """
    usual = Configuration.of(method=configuration.method)
    given = {f.name: getattr(configuration, f.name) for f in fields(Configuration)}
    words = {name: v for name, v in given.items() if name == "method" or v != getattr(usual, name)}
    if configuration.method != "float":
        words["group_size"] = configuration.group_size
    if recipe:
        words |= {f.name: getattr(recipe, f.name) for f in fields(Recipe) if getattr(recipe, f.name) != f.default}
    words |= {name: value for name, value in options.items() if value is not None}
    parts = ["cfcore", command]
    for name, value in words.items():
        option = "--" + name.replace("_", "-")
        parts += [option] if value is True else [option, str(value)]
    return shlex.join(parts)


def _configuration(given: dict[str, Any]) -> Configuration:
    given["group_size"] = parse_group_size(given["group_size"])
    configuration = Configuration.of(**{name: value for name, value in given.items() if value is not None})
    architecture(configuration)  # refuses groups larger than the widest layer, and widths that leave no whole channels
    return configuration


def _options(settings: type) -> list[inspect.Parameter]:
    return [_option(f.name, TYPES[str(f.type)], f.default) for f in fields(settings)]


def _option(name: str, kind: type, default: Any) -> inspect.Parameter:
    if name in FOLLOWS_METHOD:
        annotation: Any = Annotated[int | None, typer.Option(help=HELP[name], show_default=False)]
        default = None
    elif kind is bool:
        annotation = Annotated[bool, typer.Option("--" + name.replace("_", "-"), help=HELP[name])]
    else:
        annotation = Annotated[kind, typer.Option(help=HELP[name])]
        default = kind(default)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _takes(
    name: str, options: list[inspect.Parameter], build: Callable[[dict[str, Any]], Any]
) -> Callable[[Command], Command]:
    """Replace a command's parameter `name` by `options`; `build` turns their values into it."""

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True).parameters.values()
        seen = [
            o.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own for o in (options if p.name == name else [p])
        ]

        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            value = build({o.name: given.pop(o.name) for o in options})
            command(**{name: value}, **given)

        wrapper.__signature__ = inspect.Signature(seen)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {o.name: o.annotation for o in seen}
        return wrapper

    return decorate
