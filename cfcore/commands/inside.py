"""One output of a layer, bit by bit: `window`."""

from __future__ import annotations

from typing import Annotated

import typer

from cfcore.config import Configuration
from cfcore.console import Json, end_progress, print_json, print_table, progress
from cfcore.errors import bad_value
from cfcore.options import configured


@configured
def window(
    configuration: Configuration,
    layer: Annotated[str, typer.Option(help="A quantized convolution, such as convs.18.")],
    image: Annotated[int, typer.Option(help="Number of the test image, from 0.")] = 0,
    row: Annotated[int, typer.Option(help="Row of the output.")] = 0,
    column: Annotated[int, typer.Option(help="Column of the output.")] = 0,
    filter: Annotated[int, typer.Option(help="Number of the filter.")] = 0,
    first_channel: Annotated[int, typer.Option(help="Show the words of the channels from this one on.")] = 0,
    channels: Annotated[int, typer.Option(help="How many channels to show.")] = 8,
    flip: Annotated[
        list[str] | None,
        typer.Option(
            help="A bit to turn over once: activation or weight, plane, tap, channel.", metavar="weight.0.3.17"
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Count one output of a layer from its bits, word by word, beside the float sum.

    Example: python -m cfcore window --layer convs.18 --image 0 --row 4 --column 4 --filter 0
    """
    from cfcore.evaluate import obtain
    from cfcore.images import load_test_set
    from cfcore.inside import look_at
    from cfcore.window import Flip, float_sum, plane_products, steps

    images = load_test_set()
    if not 0 <= image < len(images):
        raise bad_value("image", image, f"a whole number from 0 to {len(images) - 1}", "Choose a test image.")
    flips = sorted(set(map(Flip.parse, flip or ())), key=str)
    network = obtain(configuration, progress=progress)
    found = look_at(network, layer, images.pixels[image], row=row, column=column, filter=filter, flips=flips)
    end_progress()
    if not 0 <= first_channel < found.window.channels:
        allowed = f"a whole number from 0 to {found.window.channels - 1}"
        raise bad_value("first_channel", first_channel, allowed, "Choose a channel of the layer.")
    if channels < 1:
        raise bad_value("channels", channels, "a whole number from 1", "Choose 8.")
    part = found.window.of_channels(first_channel, channels)
    pairs = [(p, steps(part, p.activation_plane, p.weight_plane)) for p in plane_products(part)]
    shown = sum(p.product for p, _ in pairs)
    if json_:
        return print_json(
            {
                **configuration.to_dict(),
                "layer": layer,
                "image": image,
                "row": row,
                "column": column,
                "filter": filter,
                "flips": [str(each) for each in flips],
                "channels": list(range(first_channel, first_channel + part.channels)),
                "planes": [{**p.to_dict(), "steps": [step.to_dict() for step in found]} for p, found in pairs],
                "sum": shown,
                "float_sum": float_sum(part),
                "all_channels": {
                    "sum": found.sum,
                    "float_sum": float_sum(found.window),
                    "alpha": found.alpha,
                    "step": found.step,
                    "scaled": found.scaled,
                    "torch": found.torch,
                },
            }
        )
    for p, taps in pairs:
        print(f"activation plane {p.activation_plane}, weight plane {p.weight_plane}, times {p.factor}")
        joined = "xor" if part.signed else "and"
        rows = [
            (f"{s.tap}", _bits(s.activations), _bits(s.weights), _bits(s.joined), f"{s.count}", f"{s.total:+}")
            for s in taps
        ]
        print_table(("tap", "activations", "weights", joined, "ones", "sum"), rows)
    print(f"{part.channels} channels: {shown}, in float {float_sum(part):g}")
    step = f" and the step {found.step:.6f}" if configuration.has_steps else ""
    print(
        f"all {found.window.channels} channels: {found.sum}, times the scaling factor {found.alpha:.6f}{step}", end=""
    )
    print(f" is {found.scaled:.6f}; ", end="")
    print(f"torch's float convolution {found.torch:.6f}{', with no bit flipped' if flips else ''}")


def _bits(bits: tuple[int, ...]) -> str:
    return "".join(map(str, bits))
