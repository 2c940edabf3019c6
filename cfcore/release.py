"""From finished training runs to a shipped file: pack, save, count the accuracy, write the manifest row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cfcore import checkpoint, manifest
from cfcore.errors import CheckpointError, ConfigError
from cfcore.evaluate import Progress, evaluate
from cfcore.export import pack_network
from cfcore.images import load_test_set
from cfcore.models import Network
from cfcore.runfiles import load_run


def release(
    runs: Sequence[Path], to: Path, overwrite: bool = False, progress: Progress | None = None
) -> manifest.Entry:
    """Write `to`/NAME.safetensors and its row in `to`/manifest.json.

    runs  folders of finished runs of one configuration, one for each seed: the network of median accuracy is stored
          (of an even number the better of the two in the middle), and the row keeps every seed's accuracy

    The accuracies are those of the packed files, read back, on all 10,000 test images. Raises CheckpointError,
    ConfigError for runs that do not belong together.
    """
    trained = [load_run(folder) for folder in runs]
    configuration = trained[0][0].configuration
    seeds = [str(made["recipe"]["seed"]) for _, made in trained]
    if any(network.configuration != configuration for network, _ in trained) or len(set(seeds)) < len(seeds):
        raise ConfigError("Runs that ship together are of one configuration and different seeds. Export them apart.")
    to.mkdir(parents=True, exist_ok=True)
    with manifest.lock(to):  # else one's file might come to stand beside another's row
        known = manifest.find(configuration, to) if (to / "manifest.json").is_file() else None
        file = to / f"{configuration.name}.safetensors"
        for there in (file, to / known.file if known else file):  # the same network may have another name
            if there.exists() and not overwrite:
                raise CheckpointError(f"{there} exists already. Choose another folder, or allow overwriting.")
        return _release(trained, file, progress)


def _release(
    trained: Sequence[tuple[Network, dict[str, Any]]], file: Path, progress: Progress | None
) -> manifest.Entry:
    seeds = [str(made["recipe"]["seed"]) for _, made in trained]
    unproven = [file.with_name(f"{file.name}.{seed}") for seed in seeds]  # nothing is replaced before all is counted
    test = load_test_set()
    try:
        counted = []
        for (network, made), candidate in zip(trained, unproven, strict=True):
            checkpoint.save(pack_network(network, made), candidate, overwrite=True)
            counted.append(evaluate(checkpoint.load(candidate), test, progress=progress).accuracy)
        median = sorted(range(len(trained)), key=lambda i: counted[i])[len(trained) // 2]
        made = trained[median][1]
        entry = manifest.Entry(
            configuration=trained[0][0].configuration,
            accuracy=counted[median],
            seeds=dict(zip(seeds, counted, strict=True)),
            plan=made["plan"],
            epochs=made["recipe"]["epochs"],
            seconds=round(made["seconds"], 1),
            machine=made["machine"],
            bytes=unproven[median].stat().st_size,
            file=file.name,
            sha256=manifest.sha256(unproven[median]),
            command=made["command"],
        )
        manifest.record(entry, file.parent, unproven[median])
    finally:
        for candidate in unproven:
            candidate.unlink(missing_ok=True)
    return entry
