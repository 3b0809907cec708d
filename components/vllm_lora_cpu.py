"""vLLM plugin: LoRA on a CPU."""


def register() -> None:
    """Do nothing yet."""
