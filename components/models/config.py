"""What a base model's config.json tells before its weights are there."""

import functools
import json
from pathlib import Path

from components.errors import TunegateError
from components.web import quoted, read_at_most

CONFIG, LIMIT_BYTES = "config.json", 4 << 20
SHOWN = 200  # characters of what a stranger wrote


def config_problems(path: Path) -> list[str]:
    """Say why a model can't be loaded without running code that comes with it; its config alone tells."""
    try:
        with path.open("rb") as file:
            config = json.loads(read_at_most(file, LIMIT_BYTES, CONFIG))
    except (TunegateError, ValueError, RecursionError) as error:
        return [f"{CONFIG}: is no model's ({quoted(str(error))})"]
    if not isinstance(config, dict):
        return [f"{CONFIG}: is no model's (wanted an object)"]
    import transformers
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES

    kind, classes = config.get("model_type"), config.get("architectures") or []
    unknown = []
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING_NAMES:
        unknown.append("a missing model_type" if kind is None else f"model_type {kind!r}")
    if not isinstance(classes, list) or (classes and _known_classes().isdisjoint(map(str, classes))):
        unknown.append(f"architectures {classes!r}")
    if not unknown:
        return []
    named = quoted(" and ".join(unknown), SHOWN)
    own = "; it brings code of its own (auto_map)" if config.get("auto_map") else ""
    return [
        f"{CONFIG}: transformers {transformers.__version__} has no code for {named}"
        f"{own}. Code that comes with a model is never run, so it can't be loaded, and its weights are not "
        "fetched; take a model of a known architecture"
    ]


@functools.cache
def _known_classes() -> frozenset[str]:
    """Return all names of transformers; their modules are not imported for it."""
    import transformers

    return frozenset(dir(transformers))
