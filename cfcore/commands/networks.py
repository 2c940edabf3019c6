"""What is there and what it comes to: `models`, `evaluate`, `compare`, `cost`, `formula`, `scales`, `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfcore.architecture import canonical
from cfcore.config import ORDERS, SCALINGS, Configuration, LayerModel
from cfcore.console import Json, end_progress, print_json, print_table, progress
from cfcore.errors import ConfigError, bad_value
from cfcore.options import configured

Engine = Annotated[
    str | None, typer.Option(help="packed or simulated; packed for xnor if left out.", show_default=False)
]
Count = Annotated[int | None, typer.Option("--images", help="Only the first N test images.", show_default=False)]


def models(
    json_: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The README's tables of results instead.")] = False,
) -> None:
    """What is in pretrained/: every shipped network with its accuracy and size.

    Example: python -m cfcore models
    """
    from cfcore.manifest import entries

    if json_ and markdown:
        raise ConfigError("--json and --markdown exclude each other. Choose one.")
    shipped = entries()
    if markdown:
        from cfcore import results

        return print(results.markdown(shipped))
    if json_:
        return print_json([entry.to_dict() for entry in shipped])
    rows = [
        (
            entry.configuration.name,
            entry.configuration.source,
            f"{entry.accuracy:.2f} %",
            f"{entry.bytes:,} B",
            f"{entry.epochs}",
        )
        for entry in shipped
    ]
    print_table(("network", "source", "accuracy", "file", "epochs"), rows)


@configured
def evaluate(
    configuration: Configuration,
    engine: Engine = None,
    images: Count = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Evaluate this file; its own configuration counts.", show_default=False)
    ] = None,
    json_: Json = False,
) -> None:
    """Count how many of the 10,000 CIFAR-10 test images a network gets right.

    Example: python -m cfcore evaluate --method xnor --group-size 16
    """
    _check_count(images)
    progress(0.0)  # loading torch takes seconds
    from cfcore.checkpoint import load
    from cfcore.evaluate import evaluate as count
    from cfcore.evaluate import obtain
    from cfcore.images import load_test_set

    network = load(checkpoint) if checkpoint else obtain(configuration)
    result = count(network, load_test_set().first(images), engine, progress)
    end_progress()
    if json_:
        return print_json(result.to_dict())
    print(
        f"{result.configuration.name} ({result.configuration.source}): {result.accuracy:.2f} % "
        f"({result.correct:,} of {result.images:,} right, {result.engine}, {result.seconds:.2f} s)"
    )


@configured
def compare(
    configuration: Configuration,
    against: Annotated[
        str | None,
        typer.Option(help="A shipped network, by its name in `models`, in place of float.", show_default=False),
    ] = None,
    engine: Engine = None,
    images: Count = None,
    json_: Json = False,
) -> None:
    """Which test images a network gets wrong that float, or another network, gets right, and the other way round.

    Example: python -m cfcore compare --method xnor --group-size 16
    """
    from cfcore.manifest import named

    if configuration.method == "float" and against is None:
        raise bad_value("method", "float", "binary-weight or xnor", "Choose one: float is what it is compared with.")
    floats = configuration.float_reference
    other = floats if against is None else named(against, setting="against").configuration
    if canonical(configuration) == canonical(other):
        raise bad_value("against", other.name, "another network", "Choose one that differs.")
    _check_count(images)
    progress(0.0)  # loading torch takes seconds
    from cfcore.comparison import Comparison
    from cfcore.evaluate import default_engine, obtain
    from cfcore.evaluate import evaluate as count
    from cfcore.images import CLASSES, load_test_set

    shown = load_test_set().first(images)
    theirs = engine if engine != "packed" or default_engine(other) == "packed" else None
    before = count(obtain(other), shown, theirs, progress)
    after = count(obtain(configuration), shown, engine, progress)
    end_progress()
    found = Comparison(shown.labels, before.answers, after.answers)
    result = found.to_dict()
    if json_:
        engines = {"engine": after.engine, "engine_against": before.engine}
        return print_json({**result, "against": other.name, **engines, **configuration.to_dict()})
    label, noun = against or "float", "image" if len(found) == 1 else "images"
    print(f"{configuration.name} ({configuration.source}, {after.engine}) against {label}, {len(found):,} {noun}:")
    print(f"{result['now_wrong']:,} right before and wrong now, {result['now_right']:,} wrong before and right now")
    print(f"{result['both_right']:,} right in both, {result['both_wrong']:,} wrong in both")
    print(f"{found.points:+.2f} points; up to {found.chance:.2f} can be chance")
    print()
    rows = [
        (c["class"], f"{c['accuracy_before']:.2f}", f"{c['accuracy_after']:.2f}", f"{c['images']:,}")
        for c in result["classes"]
    ]
    print_table(("class", "before, %", "now, %", "images"), rows)
    print()
    print("Images of the class at the left that are taken for the one above, now less before:")
    confusion = zip(CLASSES, result["confusion_difference"], strict=True)
    print_table(("", *CLASSES), [(name, *(f"{n:+d}" for n in row)) for name, row in confusion])


@configured
def cost(
    configuration: Configuration,
    json_: Json = False,
) -> None:
    """The memory ledger to the byte, and the operations, computed.

    Example: python -m cfcore cost --weight-bits 1 --group-size 16
    """
    from cfcore.cost import network_cost

    result = network_cost(configuration)
    if json_:
        return print_json(result.to_dict())
    print(f"{result.configuration.name}: {result.bytes.total:,} bytes, {result.ratio:.2f} times smaller than float")
    print(f"{result.operations.binary_macs:,} bitwise and {result.operations.float_macs:,} float MACs an image")
    if result.operations.binary_macs:
        ideal, whole = result.operations.ideal_speedup, result.operations.network_speedup
        print(f"{ideal:.2f} times fewer operations in the quantized layers, {whole:.2f} in all, by XNOR-Net's model")
    steps = {step.part: (f"{step.float_bytes:,}", f"{step.ratio:.2f}") for step in result.steps}
    steps["total"] = (f"{result.float_bytes:,}", f"{result.ratio:.2f}")
    parts = [(part, f"{size:,}", *steps.get(part, ("", ""))) for part, size in result.bytes.to_dict().items()]
    print_table(("part", "bytes", "as float", "ratio so far"), parts)
    print()
    rows = [
        (
            layer.name,
            f"{layer.filters} x {layer.weights_per_filter}",
            f"{layer.groups or '-'}",
            f"{layer.bytes.total:,}",
            f"{layer.bits_per_weight:.3f}",
            f"{layer.ratio:.2f}",
            f"{layer.macs:,}",
        )
        for layer in result.layers
    ]
    print_table(("layer", "filters x n", "groups", "bytes", "bits/weight", "ratio", "MACs"), rows)


def formula(
    channels: Annotated[int, typer.Option(help="Input channels c.")] = LayerModel.channels,
    kernel: Annotated[int, typer.Option(help="Side of the kernel.")] = LayerModel.kernel,
    group_size: Annotated[int, typer.Option(help="Filters that share one scaling factor.")] = LayerModel.group_size,
    weight_bits: Annotated[int, typer.Option(help="Bits of a weight.")] = LayerModel.weight_bits,
    activation_bits: Annotated[int, typer.Option(help="Bits of an activation.")] = LayerModel.activation_bits,
    word_bits: Annotated[float, typer.Option(help="Bits that one operation takes.")] = LayerModel.word_bits,
    operations: Annotated[
        int, typer.Option(help="Operations of a float multiply-accumulate, 1 or 2.")
    ] = LayerModel.operations,
    scaling: Annotated[
        str, typer.Option(help="Multiplications by a factor: " + ", ".join(SCALINGS) + ".")
    ] = LayerModel.scaling,
    scale_bits: Annotated[int, typer.Option(help="Bits of a stored factor, 16 or 32.")] = LayerModel.scale_bits,
    json_: Json = False,
) -> None:
    """One layer by formula: how many times less memory, and XNOR-Net's model of how many times fewer operations.

    Example: python -m cfcore formula --channels 256 --kernel 3 --group-size 2 --operations 2 --scaling both
    """
    from cfcore.formula import estimate

    bits = weight_bits, activation_bits
    model = LayerModel(channels, kernel, group_size, *bits, word_bits, operations, scaling, scale_bits)
    result = estimate(model)
    if json_:
        return print_json(result.to_dict())
    n = model.weights_per_filter
    print(f"{result.memory_ratio:.2f} times less memory: n = {n:,} weights a filter, m = {group_size}")
    counts = f"{result.floats:,} against {result.words:,.2f} on words and {result.scalings:.3g} by a factor"
    times, change = (result.speedup, "fewer") if result.speedup >= 1 else (1 / result.speedup, "more")
    print(f"{times:.2f} times {change} operations an output: {counts}")


@configured
def scales(
    configuration: Configuration,
    json_: Json = False,
) -> None:
    """The scaling factors of a network, and the squared error in its weights that sharing them adds: in % of that of
    quantization, or, where the factors were learned, of the squared norm of the weights with m = 1.

    Example: python -m cfcore scales --source post-training --group-size 16
    """
    from cfcore.sharing import factors

    result = factors(configuration, progress=progress)
    end_progress()
    if json_:
        return print_json(result.to_dict())
    weights = f"latent weights of {result.latent}" if result.latent else "no latent weights are shipped, so no errors"
    if result.latent and result.learned:
        weights += ", learned factors: errors in % of the squared norm of the weights"
    print(f"{result.configuration.name} ({result.configuration.source}): {weights}")
    rows = [
        (
            layer.layer,
            f"{len(layer.alphas)}",
            f"{min(layer.alphas):.5f}",
            f"{max(layer.alphas):.5f}",
            *(f"{layer.increase_by_order(order):+.2f} %" if layer.fit else "-" for order in ORDERS),
        )
        for layer in result.layers
    ]
    print_table(("layer", "groups", "least", "largest", *(f"error, {order}" for order in ORDERS)), rows)


def inspect(
    file: Annotated[Path, typer.Argument(help="A checkpoint of this project.")],
    json_: Json = False,
) -> None:
    """What a checkpoint holds: configuration, origin, tensors and bytes.

    Example: python -m cfcore inspect pretrained/resnet20-xnor-w1a1-m16.safetensors
    """
    from cfcore.checkpoint import header_size, load

    network = load(file)
    content = file.read_bytes()
    tensors = [
        {"name": name, "type": str(t.dtype), "shape": list(t.shape), "bytes": t.nbytes}
        for name, t in network.tensors.items()
    ]
    size = {
        "file": len(content),
        "header": header_size(content),
        "tensors": sum(t.nbytes for t in network.tensors.values()),
    }
    if json_:
        return print_json(
            {
                "configuration": network.configuration.to_dict(),
                "origin": network.origin,
                "bytes": size,
                "tensors": tensors,
            }
        )
    print(f"{network.configuration.name} ({network.configuration.source})")
    print("  ".join(f"{part} {count:,} B" for part, count in size.items()))
    print_table(
        ("tensor", "type", "shape", "bytes"),
        [
            (name, str(t.dtype), "x".join(str(length) for length in t.shape), f"{t.nbytes:,}")
            for name, t in network.tensors.items()
        ],
    )


def _check_count(images: int | None) -> None:
    if images is not None and not 1 <= images <= 10_000:
        raise bad_value("images", images, "a whole number from 1 to 10000", "Leave it out for all.")
