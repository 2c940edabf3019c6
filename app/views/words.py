"""What more than one page says, and how numbers are written."""

from collections.abc import Iterable, Sequence

from app import address
from app.services import networks
from app.services.speed import Benchmark
from cfcore.config import Configuration

CHANCE = 10.0  # % that guessing gets right: CIFAR-10 has ten classes of equal size
SORTED = " Sorted groups are an addition of this project; in the paper, neighbours share."
POST_TRAINING = "post-training"
ABOUT = """
A convolutional network can be stored in a few bits per weight if every filter also has a scaling factor. *Cross-filter
compression* lets *m* adjacent filters share one. This explorer shows what that does: with networks trained that way
where they ship, and otherwise with the float network, quantized while you watch.

Numbers come in three kinds, and each is labelled:

- **Measured**: counted or timed, either **here**, on this machine, or for the project and shipped with it
- **Computed**: from a formula that is shown
- **Published**: from a source that is named

Where there is no such number, none is made up. Where the method does not pay, the page says so.
"""
SOURCES = """
- F. Lyu, S. Zhu, W. Liu: *Cross-filter compression for CNN inference acceleration*,
  [arXiv 2005.09034](https://arxiv.org/abs/2005.09034). Groups of adjacent filters that share a factor
- M. Rastegari and others: *XNOR-Net*, [arXiv 1603.05279](https://arxiv.org/abs/1603.05279). Binary-Weight and XNOR
- Z. Liu and others: *Bi-Real Net*, [arXiv 1808.00278](https://arxiv.org/abs/1808.00278). A shortcut around every
  convolution, and the gradient of the sign
- S. Esser and others: *Learned step size quantization*, [arXiv 1902.08153](https://arxiv.org/abs/1902.08153).
  Activations of 2 to 8 bits
- K. He and others: *Deep residual learning*, [arXiv 1512.03385](https://arxiv.org/abs/1512.03385). ResNet
- K. He and others: *Delving deep into rectifiers*, [arXiv 1502.01852](https://arxiv.org/abs/1502.01852). PReLU
- A. Bulat, G. Tzimiropoulos: *XNOR-Net++*, [arXiv 1909.13863](https://arxiv.org/abs/1909.13863). Scaling
  factors learned by gradient
- A. Krizhevsky: [CIFAR-10](https://www.cs.toronto.edu/~kriz/cifar.html). The images
"""


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "filter"), count(1200, "weight")
    ('1 filter', '1,200 weights')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(share: float, digits: int = 0) -> str:
    """A share of 1 as a percentage, written as all of them are.

    >>> percent(0.591), percent(0.0552, 1)
    ('59 %', '5.5 %')
    """
    return f"{100 * share:.{digits}f} %"


def signed(points: float) -> str:
    """A difference with a true minus.

    >>> signed(-1.2), signed(0.25), signed(-0.001)
    ('−1.20', '+0.25', '±0.00')
    """
    sign = "±" if abs(points) < 0.005 else "+" if points > 0 else "−"
    return f"{sign}{abs(points):.2f}"


def noted(notes: Iterable[str]) -> str:
    """What was noted as something was timed, as the sentences that follow."""
    return "".join(f" {address.plain(note)}" for note in notes)


def bit_count(number: float) -> str:
    """Bits per weight, with as many digits as tell them from a whole number.

    >>> bit_count(1.0139), bit_count(1.0004), bit_count(32.0)
    ('1.014', '1.0004', '32.000')
    """
    close = abs(number - round(number)) < 0.0005 and number != round(number)
    return f"{number:.{4 if close else 3}f}"


OTHER_BLOCKS = "The float network has standard blocks, so not all of the difference is due to quantization."


def about_float(configuration: Configuration) -> str:
    """Where an accuracy is compared with one that it did not start from."""
    if not networks.has_other_float(configuration):
        return ""
    return (
        " This network was fine-tuned from another float network than the one that ships, so not all of the difference "
        "to that is due to quantization."
    )


def about_sharing(configuration: Configuration) -> str:
    """What a learner has to know before comparing this accuracy with float's or m = 1's."""
    if configuration.method == "float" or configuration.source != "trained":
        return ""
    if networks.has_binary_blocks(configuration):
        prelu = ", then PReLU" if networks.bends(configuration) else ""
        return (
            f" Each block is norm, convolution and shortcut{prelu}: no norm undoes a shared factor before the sum, as "
            f"it would in Bi-Real Net's blocks. {OTHER_BLOCKS}"
        )
    if configuration.weight_bits == 1:
        return (
            " Batch norm follows each convolution and undoes any factor, except for its ε: every m can be nearly the "
            "same network, so differences come mostly from training."
        )
    return ""


def no_network(model: str, others: Sequence[str]) -> str:
    """What is said of a model that nobody has trained; of `others` a float network ships.

    >>> no_network("resnet56", ["resnet20"]).rpartition(", ")[2]
    'or choose resnet20.'
    """
    instead = f", or choose {' or '.join(others)}" if others else ""
    return (
        f"No trained {model} is shipped, not even a float one to quantize. Train it with `python -m cfcore train "
        f"--model {model} --method float`, then `python -m cfcore export {model}-float`{instead}."
    )


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def conditions(measurement: Benchmark) -> str:
    """Of a shipped timing."""
    runs, where = measurement.rows[0].runs, "**Measured** for the project and shipped, possibly not on your machine"
    machine = f"{measurement.machine.cpu}, {measurement.machine.vectors}, torch {measurement.machine.torch}"
    return f"{where}: {machine}; {count(measurement.threads, 'thread')}, median of {count(runs, 'run')}."
