"""Whether a release can end where it is meant to: the registry takes adapters, the serving target a model."""

from components.errors import InvalidInput, noted
from components.oci.adapter_images import check_repository
from components.serve.targets import serving_backend


def check_targets(image_repository: str, serving_target: str, model_name: str, base_model: str) -> None:
    """Refuse what would only fail a release after its training.

    Raises:
        InvalidInput: Every problem of registry and serving target.
    """
    problems = registry_problems(image_repository)
    problems += serving_problems(serving_target, model_name, base_model)
    if problems:
        raise InvalidInput("where the release is to end", problems)


def registry_problems(image_repository: str) -> list[str]:
    """Return why adapters can't be pushed to a repository, named as `push_adapter` takes it."""
    problems: list[str] = []
    with noted(problems):
        check_repository(image_repository)
    return problems


def serving_problems(serving_target: str, model_name: str, base_model: str) -> list[str]:
    """Return why a model can't be served.

    Args:
        serving_target: As `serving_backend` takes it.
        model_name: What is to be served there.
        base_model: What it is an adapter of.
    """
    problems: list[str] = []
    with noted(problems):
        serving_backend(serving_target).check(model_name, base_model)
    return problems
