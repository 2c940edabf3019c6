"""The sentences of the Predictions page."""

from collections.abc import Sequence

from app.services.networks import TEST_IMAGES, Entry
from app.services.picture import Picture
from app.services.predictions import Bin, Compared, Comparison, class_rows, commonest_mistake
from app.views.words import OTHER_BLOCKS, count, signed

LEAD = (
    "What does the network get wrong now that it got right before? Both networks, float and the one chosen above, "
    "classify the same test images."
)
HELP = {
    "change": "Which images, by whether float (before) and this network (now) name the true class.",
    "class": "Only images of this class. The test set holds 1,000 of each.",
    "named": "Only images that this network assigns to this class.",
    "sheet": "Turn pages with the numbers below; the link keeps the page.",
    "picture": "A photo of a single object works best: the networks know ten classes, and saw one object per picture.",
}
CHANGES = {
    "now wrong": "Float names the true class, this network another.",
    "now right": "Float names a wrong class, this network the true one.",
    "both wrong": "Neither names the true class, though not always the same wrong one.",
}
FLOAT = (
    "This is the float network itself, so there is nothing to compare it with. Choose another method above to see "
    "which answers it changes."
)
TEN = (
    "These networks know only ten classes and name one of them whatever the picture shows, even a house. The "
    "percentage is the class's share of 100 % among the ten, not the probability of being right."
)
KEPT = (
    "The picture is not stored in any file. The server keeps it in memory until you remove it or close this window, "
    "and its 32 × 32 pixels until newer work replaces them."
)


def accuracy(found: Compared) -> str:
    """Under the headline: what was counted, where and how."""
    counts, how = found.comparison.to_dict(), "on packed bits" if found.engine == "packed" else "in float arithmetic"
    return (
        f"{counts['correct_after']:,} of {counts['images']:,} test images are classified correctly; float gets "
        f"{counts['correct_before']:,} right. **Measured here**, now: this network {how}, float in fp32."
    )


def known(entry: Entry, floats: Entry) -> str:
    """What can be said before anything is counted."""
    net = round(100 * (entry.accuracy - floats.accuracy))
    return (
        f"Shipped accuracies: {entry.accuracy:.2f} %, and {floats.accuracy:.2f} % for float, a net difference of "
        f"{count(abs(net), 'image')}. The changes in each direction are being counted."
    )


def balance(comparison: Comparison, other_blocks: bool) -> str:
    """The headline: the net difference is the accuracy difference, and hides most of what happened."""
    blocks = f" {OTHER_BLOCKS}" if other_blocks else ""
    counts = comparison.to_dict()
    images, before, after = counts["images"], counts["correct_before"], counts["correct_after"]
    lost, won = counts["now_wrong"], counts["now_right"]
    return (
        f"Float gets {before:,} of {images:,} images right. Of these, {lost:,} become wrong, and {won:,} others become "
        f"right: {before:,} − {lost:,} + {won:,} = {after:,}. The net difference is the accuracy difference, "
        f"({won:,} − {lost:,}) / {images:,} = {signed(100 * (won - lost) / images)} points. It hides that "
        f"{count(lost + won, 'image')} changed sides.{blocks}"
    )


def share(number: int, images: int) -> str:
    return f"{100 * number / images:.1f} % of {images:,} images"


def selected(number: int, at_a_time: int) -> str:
    """Over the pictures."""
    if not number:
        return "No image matches."
    pages = f", {at_a_time} at a time" if number > at_a_time else ""
    return (
        f"{count(number, 'image')}{pages}, in test-set order, 32 × 32 pixels each. ✓ right, ✗ wrong, and the network's "
        "confidence."
    )


def measured(comparison: Comparison) -> str:
    images = len(comparison)
    return "**Measured here**" if images == TEST_IMAGES else f"**Measured here**, on the first {images:,} images so far"


def by_class(comparison: Comparison) -> str:
    change = {row["class"]: row["accuracy_after"] - row["accuracy_before"] for row in class_rows(comparison)}
    most, least = (pick(change, key=lambda name: abs(change[name])) for pick in (max, min))
    return (
        f"The longer the line, the larger the change: {most} changes most ({signed(change[most])} points), {least} "
        f"least ({signed(change[least])}). {measured(comparison)}."
    )


def by_pair(comparison: Comparison) -> str:
    true, named, more = commonest_mistake(comparison)
    grows = f" Largest increase: {true} taken for {named}, {count(more, 'image')} more." if more > 0 else ""
    return (
        "More (+) or fewer (−) images than with float. The diagonal holds the right answers; images that leave it "
        f"reappear in their row, so each row adds up to 0.{grows} {measured(comparison)}; colours by square root."
    )


SMOOTHED = (
    " One of the two was trained with label smoothing, which makes a network less confident: the difference is not "
    "due to quantization alone."
)


def by_confidence(bins: Sequence[Bin], comparison: Comparison, smooths_otherwise: bool) -> str:
    first, last, counts = bins[0], bins[-1], comparison.to_dict()
    before, after = (100 * counts[f"correct_{when}"] / counts["images"] for when in ("before", "after"))
    sure_before, sure_after = (counts[f"mean_confidence_{when}"] for when in ("before", "after"))
    tips = (
        " The least confident answers are lost most often." if first.share == max(each.share for each in bins) else ""
    )
    otherwise = SMOOTHED if smooths_otherwise else ""
    return (
        f"Where float was least confident, {first.lost:,} of its {count(first.right, 'right answer')} are lost; where "
        f"it was most confident, {last.lost:,} of {last.right:,}.{tips}\n\n"
        f"Does confidence match accuracy? Float has a mean confidence of {sure_before:.1f} % and an accuracy of "
        f"{before:.1f} %; this network, {sure_after:.1f} % and {after:.1f} %.{otherwise}\n\n"
        f"Confidence is the softmax value of the class that a network names. {measured(comparison)}."
    )


def seen(picture: Picture) -> str:
    """Under the 32 × 32 pixels."""
    side = min(picture.width, picture.height)
    of = f"{side:,} × {side:,} of {picture.width:,} × {picture.height:,} pixels"
    return " ".join([f"The central square, {of}, averaged to 32 × 32: all that a network sees.", *picture.remarks])
