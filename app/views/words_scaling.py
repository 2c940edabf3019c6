"""The sentences of the page about scaling factors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.figures.scaling import named
from app.figures.weights import GroupWeights
from app.services import networks
from app.services.scaling import Factors, SharedLayer
from app.views.words import SORTED, count, percent
from cfcore.config import Configuration

INTRO = (
    "A quantized filter is a pattern of signs, or of a few levels, times one positive number: its scaling factor α. In "
    "XNOR-Net each filter has its own; here *m* filters share one. What are they, and what does sharing cost?"
)
FORMULA_TERMS = 2  # filters of a group that are written out


def heatmap(found: Factors) -> str:
    trained = found.configuration.source == "trained"
    where = (
        "**Measured** for the project: as stored in the trained file."
        if trained
        else "**Computed** now from the float network, " + best(found.configuration.weight_bits)
    )
    cell = "the α of one filter" if found.configuration.group_size == 1 else "the α that a group of filters shares"
    return (
        f"Each row is a layer, each cell {cell}; narrow layers have fewer. Touch a cell, or choose layer and group: "
        f"what follows describes the framed one. {where}"
    )


def best(bits: int) -> str:
    if bits == 1:
        return "the mean of |W| over the group."
    return "by a search for the least squared error: above one bit there is no closed form."


def insight(found: Factors) -> str:
    """What sharing comes to, before anything is touched."""
    m = found.configuration.group_size
    if m == 1:
        whose = ""
        if found.configuration.weight_bits == 1:
            whose = f", as in {'XNOR-Net' if found.configuration.method == 'xnor' else 'Binary-Weight networks'}"
            if found.learned:
                whose += ", but learned"
        return f"With m = 1, every filter has its own factor{whose}. Choose a larger group size to see its price."
    which = "all filters of a layer" if m == "layer" else f"{m} filters"
    added = found.increase_by_order(found.configuration.order)
    if found.learned:
        return (
            f"With m = 1, filter f has the weights ±α_f. Letting {which} share one factor changes them by a squared "
            f"error of **{added:.1f} %** of their squared norm, over all layers."
        )
    return (
        f"Quantization itself causes a squared error in the weights. Letting {which} share one factor makes it "
        f"**{added:.1f} %** larger over all layers."
    )


def members(layer: SharedLayer, group: int) -> str:
    filters = layer.members[group]
    listed = named(filters)
    return f"{listed[0].upper()}{listed[1:]}: {count(len(filters), 'filter')} of {count(layer.n, 'weight')}."


def no_weights(found: Factors, can_quantize: bool) -> str:
    """Where only the stored file is there."""
    if found.configuration.group_size == 1:
        return f"{insight(found)} The latent weights behind this file are not shipped, so its errors are unknown."
    instead = (
        " With source post-training, the float network's weights are known, so the cost of sharing can be shown."
        if can_quantize
        else ""
    )
    return (
        "A trained file keeps only levels and scaling factors, and the latent weights behind this one are not shipped. "
        f"So the factor that each filter would have on its own is unknown.{instead}"
    )


def whose(found: Factors) -> str:
    """What the latent weights are."""
    if found.configuration.source == "post-training":
        return f"W are the weights of the trained float network, {found.latent}."
    said = (
        f"W are the latent weights (the float ones that training updates) of {found.latent}, the m = 1 network that "
        "this one was fine-tuned from; this network's own are not kept."
    )
    if found.learned:
        said += (
            " The factors were learned (as in XNOR-Net++): training used only the signs of W, so each filter of W is "
            "scaled to its learned factor here. Its own quantization error then means nothing, so what sharing adds is "
            "compared with the squared norm of the weights ±α_f."
        )
    if found.configuration.group_size != 1:
        said += " So this is what sharing cost initially; training then adapted the weights to it."
    return said


def residuals(found: Factors, layer: SharedLayer) -> str:
    told = "Dots: the factor each filter would have on its own. Strokes: the one its group shares. "
    told += (
        "Sharing increases the squared error by n, the weights of a filter, times the sum of the squared distances."
        if found.configuration.weight_bits == 1
        else "The longer the lines between them, the more sharing costs."
    )
    if layer.members and all(len(filters) == 1 for filters in layer.members):
        told = "With m = 1 every filter has its own factor, so each dot lies on its stroke, and sharing adds no error."
    if found.configuration.source == "trained":
        told += " Dotted: α in the trained file, after fine-tuning."
    return f"{told} {whose(found)}"


def closed_form(layer: SharedLayer, group: int) -> str:
    """What sharing adds to a group at one bit, with its numbers put in. LaTeX."""
    assert layer.fit is not None
    filters, shared = layer.members[group], layer.fit.shared[group]
    terms = [rf"({layer.fit.own[f]:.4f}-{shared:.4f})^2" for f in filters[:FORMULA_TERMS]]
    more = len(filters) - len(terms)
    rest = rf"+\ldots\;({more}\text{{ more}})" if more else ""
    lines = [
        r"n\sum_{f}(\alpha_f-\bar\alpha)^2",
        rf"={layer.n}\,\bigl[{terms[0]}",
        *(rf"\quad+{term}" for term in terms[1:]),
        *([rf"\quad{rest}"] if rest else []),
    ]
    lines[-1] += r"\bigr]"
    lines.append(rf"={layer.added(group):.4g}")
    return _aligned(lines)


def counted(layer: SharedLayer, group: int) -> str:
    """The same above one bit: both errors are counted. LaTeX."""
    alone, added = layer.alone(group), layer.added(group)
    lines = [
        r"\textstyle\sum_f|W_f-\bar\alpha\,q|^2",
        r"\textstyle\quad-\sum_f|W_f-\alpha_f\,q|^2",
        rf"={alone + added:.4g}-{alone:.4g}",
        rf"={added:.4g}",
    ]
    return _aligned(lines)


def _aligned(lines: Sequence[str]) -> str:
    """Below each other, with room beside the last exponent: else their box could be scrolled."""
    body = r" \\ ".join("&" + line for line in lines)
    return rf"\begin{{aligned}}{body}\end{{aligned}}\;"


def increase(found: Factors, layer: SharedLayer, group: int) -> str:
    """What the addition means."""
    how = (
        "**Computed**, and exact at one bit."
        if found.configuration.weight_bits == 1
        else "**Computed**: both factors were searched for, and both errors counted. Above one bit there is no closed "
        "form, as the levels move with α."
    )
    first = f"quantization gives this group a squared error of {layer.whole(group):.4g}; sharing adds"
    if found.learned:
        first = f"this group's weights ±α_f have a squared norm of {layer.whole(group):.4g}; sharing adds an error of"
    return (
        f"With one factor per filter, {first} {layer.added(group):.4g}, which is {layer.increase(group):.2f} %. For "
        f"the whole layer it is {layer.increase():.2f} %. {how}"
    )


def accuracy(configuration: Configuration, binary_blocks: bool) -> str:
    """That an error in the weights need not be one in the answers."""
    if configuration.weight_bits == 1 and not binary_blocks:
        undone = (
            "An error in the weights need not change the answers: batch norm follows each convolution here and "
            "undoes any factor, except for the small ε that it adds to the variance"
        )
        if configuration.method == "binary-weight":
            return f"{undone}. So every m can be nearly the same network once batch norm's statistics are re-estimated."
        return (
            f"{undone}. Where the next activations are rounded, that can change some of them, so m still changes some "
            "answers: the Explorer counts how many are right."
        )
    why = " Here nothing undoes a factor: the shortcut is added before the next norm." if binary_blocks else ""
    measured = "the Explorer shows the measured accuracy"
    return f"An error in the weights does not by itself mean a loss of accuracy: {measured}.{why}"


def orders(found: Factors) -> str:
    """Index against sorted, in one number each."""
    configuration = found.configuration
    if configuration.group_size == 1:
        return "With m = 1, nothing is shared, so there is nothing to order. Choose a larger group size."
    if configuration.group_size == "layer":
        return "Layer-wise, all filters of a layer are one group, whatever their order. Choose a smaller group size."
    by_index, by_size = (found.increase_by_order(order) for order in ("index", "sorted"))
    of = "of the squared norm of all weights" if found.learned else "to the squared error of all layers"
    return (
        f"With m = {configuration.group_size}, sharing adds **{by_index:.2f} %** {of} by index, and "
        f"**{by_size:.2f} %** sorted."
    )


def about_orders(found: Factors) -> str:
    """What sorting is, whose idea, and what it takes."""
    rule = f"By index, neighbours share; sorted, filters with similar factors share.{SORTED}"
    if found.configuration.group_size in (1, "layer"):
        return rule
    layers = found.layers
    single = sum(len(layer.members) == 1 for layer in layers)
    better = sum(layer.increase_by_order("sorted") < layer.increase_by_order("index") for layer in layers)
    counted = f" Here sorting adds less error in {better} of {count(len(layers), 'layer')}" if better else ""
    if counted:
        counted += f"; {single} have only one group, so no order." if single > 1 else "."
    return (
        f"{rule}{counted} Sorting has a price: the file also stores each filter's group, two bytes. Moving the "
        f"filters themselves would avoid it where no shortcut ties their order. **Computed** "
        f"from the same weights.{trained_orders(found)}"
    )


def trained_orders(found: Factors) -> str:
    """What it comes to where networks of both orders were trained."""
    if found.configuration.source != "trained":
        return ""
    by_index, by_size = (networks.trained(replace(found.configuration, order=o)) for o in ("index", "sorted"))
    if by_index is None or by_size is None:
        return ""
    return (
        " An error in the weights need not be an error in the answers: once trained, the network gets "
        f"{by_index.accuracy:.2f} % of the test images right by index, and {by_size.accuracy:.2f} % sorted "
        "(**measured**)."
    )


def sizes(layer: SharedLayer, costs: Mapping[int, Mapping[str, float]]) -> str:
    most = max(costs)
    added = costs[most]["index"]
    return f"In {layer.layer}, one factor for all {most} filters adds **{added:.2f} %**; smaller groups add less."


def pictures(found: Factors, layer: SharedLayer, group: int, weights: GroupWeights) -> str:
    whole = len(layer.members[group])
    shown = len(weights.filters)
    some = f"{shown} of the group's {whole} filters" if shown < whole else f"all {whole} filters of the group"
    some = "the group's only filter is shown" if whole == 1 else f"{some} are shown"
    channels = len(weights.quantized[0])
    what = f"Each row is a filter, each square its 3×3 weights for one of the first {channels} input channels"
    if weights.latent is None:
        return f"{what}; {some}. Blue is positive, orange negative."
    lesson = (
        " The latent filters differ in strength. Once quantized, the whole group has the same levels"
        + (": weak filters come out too strong, strong ones too weak." if len(weights.levels) <= 2 else ".")
        if whole > 1
        else " Each latent weight has its own size; once quantized, only its level times α is left."
    )
    some += ", the strongest first" if whole > 1 else ""
    return (
        f"{what}; {some}. Blue is positive, orange negative, on one scale for both; "
        f"colours saturate beyond ±{weights.limit:.3g}.{lesson}"
    )


def histograms(found: Factors, weights: GroupWeights) -> str:
    levels = count(len(weights.levels), "level")
    if weights.latent is None:
        return f"All weights of the group lie on {levels}."
    kept = ""
    if found.configuration.source == "trained" and weights.kept is not None:
        kept = f" {percent(weights.kept, 1)} of the signs are still those of the latent weights that training "
        kept += "continued from."
    return f"All weights of the group, before and after on one axis: whatever their values, they end on {levels}.{kept}"
