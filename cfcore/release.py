"""From a finished training run to a shipped file: pack, save, count its accuracy, write its manifest row."""

from __future__ import annotations

from pathlib import Path

from cfcore import checkpoint, manifest
from cfcore.data import load_test_set
from cfcore.errors import CheckpointError
from cfcore.evaluate import Progress, evaluate
from cfcore.export import pack_network
from cfcore.train import load_run


def release(run: Path, to: Path, overwrite: bool = False, progress: Progress | None = None) -> manifest.Entry:
    """Write `to`/NAME.safetensors and its row in `to`/manifest.json.

    The accuracy is that of the file, read back, on all 10,000 test images. Raises CheckpointError, Cancelled.
    """
    network, described = load_run(run)
    file = to / f"{network.configuration.name}.safetensors"
    if file.exists() and not overwrite:
        raise CheckpointError(f"{file} exists already. Choose another folder, or allow overwriting.")
    known = {e.configuration: e for e in manifest.entries(to)} if (to / "manifest.json").is_file() else {}
    shipped = known.get(network.configuration)
    unproven = file.with_name(file.name + ".new")  # nothing is replaced before the count is done
    try:
        size = checkpoint.save(pack_network(network, described), unproven, overwrite=True)
        result = evaluate(checkpoint.load(unproven), load_test_set(), progress=progress)
        unproven.replace(file)
    finally:
        unproven.unlink(missing_ok=True)
    recipe = described["recipe"]
    entry = manifest.Entry(
        configuration=network.configuration,
        accuracy=result.accuracy,
        seeds={**(shipped.seeds if shipped else {}), str(recipe["seed"]): result.accuracy},
        epochs=recipe["epochs"],
        bytes=size,
        file=file.name,
        sha256=manifest.sha256(file),
        command=described["command"],
    )
    manifest.record(entry, to)
    return entry
