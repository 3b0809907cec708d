"""The base model with a fresh adapter, and the adapter as files."""

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from components.errors import InvalidInput
from components.finetune.config import FinetuneConfig
from components.models import BaseModelFiles
from components.oci.adapters import ADAPTER_FILES
from components.precision import precision_for

Attention = Literal["eager", "sdpa"]

EAGER_LONGEST = 256


def attention_for(device: str, longest: int) -> Attention:
    """Choose the attention implementation.

    torch's fused attention for CPUs is slow on the way back: on short rows plain products take less
    time. Their scores are kept, though, so memory grows with the square of the length.

    Args:
        device: `cpu` or `cuda`.
        longest: Tokens of the longest row.
    """
    return "eager" if device == "cpu" and longest <= EAGER_LONGEST else "sdpa"


def load_base(base: BaseModelFiles, attention: Attention, device: str) -> Any:
    """Load the base model on `device`, in the precision that it computes in.

    Raises:
        InvalidInput: It is no causal language model that transformers can load.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(base.path),
            dtype=precision_for(device),
            attn_implementation=attention,
            device_map={"": device},
            use_safetensors=True,  # never a pickled file, which may lie beside them
            trust_remote_code=False,  # unset, transformers asks whoever started this whether to run it
        )
    except (OSError, ValueError) as error:
        problem = f"can't be loaded as a causal language model: {error}"
        raise InvalidInput(f"base_model {base.name!r}", [problem]) from error


def add_adapter(model: Any, config: FinetuneConfig) -> Any:
    """Inject a LoRA adapter into every linear layer but the head, in the model's own precision.

    Returns:
        The PEFT model around `model`, in training mode; only the adapter is trainable.
    """
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
    )
    # PEFT would keep the adapter in fp32 and cast every activation; the optimizer has its own fp32 copy.
    adapted = get_peft_model(model, lora, autocast_adapter_dtype=False)
    adapted.train()
    return adapted


def save_adapter(adapted: Any, base: BaseModelFiles, folder: Path) -> None:
    """Write the adapter's two files, with the same bytes for the same weights, and nothing else.

    Args:
        adapted: The PEFT model.
        base: Its base model, noted by the name that the user gave; a path of this machine means
            nothing where the adapter is served.
        folder: Appears whole; what was there before is replaced.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    config_file, weights_file = (unfinished / name for name in ADAPTER_FILES)
    weights = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    save_file({k: v.contiguous().cpu() for k, v in weights.items()}, weights_file, metadata={"format": "pt"})
    settings = adapted.peft_config["default"].to_dict()
    settings.update(base_model_name_or_path=base.name, revision=_hub_revision(base), inference_mode=True)
    settings["target_modules"] = _short_names(settings["target_modules"])
    # Sets come in another order in every process.
    settings = {key: sorted(value) if isinstance(value, set) else value for key, value in settings.items()}
    config_file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _short_names(modules: Collection[str]) -> list[str]:
    """Name the adapted layers as servers know them (`q_proj`), even where PEFT has kept whole paths."""
    last = {name: name.rsplit(".", 1)[-1] for name in modules}
    return sorted({name if short.isdigit() else short for name, short in last.items()})


def _hub_revision(base: BaseModelFiles) -> str | None:
    return None if base.revision.startswith("sha256:") else base.revision
