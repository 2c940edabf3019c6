"""The parts of a network's bytes, and what they are called."""

from cfcore.cost import Bytes

PARTS = {
    "weights": "weights",
    "scales": "scaling factors",
    "order": "filter order",
    "float_layers": "float layers",
    "batch_norm": "batch norm",
    "padding": "padding",
}


def parts(size: Bytes) -> dict[str, int]:
    """Bytes by part, those of no bytes left out."""
    return {part: count for part in PARTS if (count := getattr(size, part))}
