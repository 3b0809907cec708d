"""Whether a release can end where it is meant to: the registry takes adapters, the serving target a model."""

from components.adapter_images import check_repository
from components.errors import InvalidInput, noted
from components.serve.backend import serving_backend


def check_targets(image_repository: str, serving_target: str, model_name: str, base_model: str) -> None:
    """Refuse a registry or a serving target that would only fail the release after its training.

    Args:
        image_repository: As `push_adapter` takes it.
        serving_target: As `serving_backend` takes it.
        model_name: What is to be served there.
        base_model: What it is an adapter of.

    Raises:
        InvalidInput: Every problem with them.
    """
    problems: list[str] = []
    with noted(problems):
        check_repository(image_repository)
    with noted(problems):
        serving_backend(serving_target).check(model_name, base_model)
    if problems:
        raise InvalidInput("where the release is to end", problems)
