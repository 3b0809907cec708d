"""Checkpoints: a run that was killed goes on from the last one, and one that succeeded leaves none."""

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Any

from components.finetune.config import FinetuneConfig
from components.oci.hashing import file_digest
from components.settings import home
from components.storage import atomic_write

FORMAT = "2"  # of the state and of the plan of steps; a checkpoint of another format is not resumed
FILE = "state.pt"


def checkpoint_folder(config: FinetuneConfig, train_path: Path, base_revision: str, device: str) -> Path:
    """Return the folder of a run's checkpoints, the same whenever the same run is started again."""
    train_set = file_digest(train_path).removeprefix("sha256:")
    parts = (FORMAT, config.model_dump_json(), train_set, base_revision, device)
    return home() / "checkpoints" / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, in place of the one before, whole or not at all.

    Raises:
        TunegateError: The disk is full.
    """
    import torch

    with atomic_write(folder / FILE) as file:
        torch.save(state, file)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the last checkpoint; None where there is none or it is damaged."""
    import torch

    path = folder / FILE
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile):
        return None
    if damaged is not None:
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def remove_checkpoint(folder: Path) -> None:
    """Remove a run's checkpoint; the adapter stands in its place."""
    shutil.rmtree(folder, ignore_errors=True)
