"""Whether a release can end where it is meant to: the registry takes adapters, the serving target a model."""

from components.errors import InvalidInput, noted
from components.oci.adapter_images import check_repository
from components.serve.targets import serving_backend


def check_targets(image_repository: str, serving_target: str, model_name: str, base_model: str) -> None:
    """Refuse what `target_problems` finds.

    Raises:
        InvalidInput: Every problem with them.
    """
    problems = target_problems(image_repository, serving_target, model_name, base_model)
    if problems:
        raise InvalidInput("where the release is to end", problems)


def target_problems(
    image_repository: str, serving_target: str, model_name: str, base_model: str
) -> list[str]:
    """Return what of a registry and a serving target would only fail a release after its training.

    Args:
        image_repository: As `push_adapter` takes it.
        serving_target: As `serving_backend` takes it.
        model_name: What is to be served there.
        base_model: What it is an adapter of.
    """
    problems: list[str] = []
    with noted(problems):
        check_repository(image_repository)
    with noted(problems):
        serving_backend(serving_target).check(model_name, base_model)
    return problems
