"""What can be refused of a release on this machine before anything is started, all of it at once."""

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from components.errors import InvalidInput, noted
from components.models import check_base_model
from components.release.targets import registry_problems, serving_problems
from components.sources.digests import changes, joined, read_parameters
from components.sources.names import absolute
from pipelines.params import FILES, ReleaseParams
from pipelines.reading import read_values, sift
from pipelines.tracker import champion_dataset


def read_release(
    preset: Path | None, overrides: dict[str, Any], problems: Sequence[str] = ()
) -> ReleaseParams:
    """Read the parameters of a release on this machine.

    Args:
        preset: As `read_params` takes it.
        overrides: As `read_params` takes them.
        problems: What is wrong already; it is told with the rest.

    Raises:
        InvalidInput: Every problem with the parameters and, as soon as there is one, all that `preflight`
            would find in those that are right.
    """
    sifted = sift(ReleaseParams, read_values(preset, overrides))
    if problems or sifted.problems:
        around = _look_around(sifted.params, sifted.wrong)[1]
        raise InvalidInput("parameters", [*problems, *sifted.problems, *around])
    return sifted.params


def preflight(params: ReleaseParams) -> ReleaseParams:
    """Refuse what would fail later, all of it at once; return the parameters with what is known by now.

    That is the dataset's digest, and which dataset the champion was trained on.

    Raises:
        InvalidInput: A dataset can't be read, there is no such base model, the image can't be pushed, or
            the model can't be served there.
    """
    found, problems = _look_around(params)
    if problems:
        raise InvalidInput("parameters", problems)
    known = champion_dataset(params, found["dataset_digest"], is_shared=False)
    return params.model_copy(update={**found, "champion_dataset": known})


def _look_around(params: ReleaseParams, wrong: Set[str] = frozenset()) -> tuple[dict[str, str], list[str]]:
    """Hold parameters against the world: files, base model, registry and serving target.

    Args:
        params: The parameters.
        wrong: Those whose values say nothing: what depends on one of them is not looked at.

    Returns:
        The datasets' paths and their digest, by parameter, and what is in the way.
    """
    problems: list[str] = []
    files = {key: getattr(params, key) for key in FILES if key not in wrong}
    contents = read_parameters(files, params.max_dataset_bytes, problems)
    if len(contents) == len(FILES):
        problems += changes(list(contents.values()), params.dataset_digest)
    if "base_model" not in wrong:
        with noted(problems):
            check_base_model(params.base_model)
    if "image_repository" not in wrong:
        problems += registry_problems(params.image_repository)
    if wrong.isdisjoint({"serving_target", "model_name", "base_model"}):
        problems += serving_problems(params.serving_target, params.model_name, params.base_model)
    paths = {key: absolute(named) for key, named in files.items()}
    return {**paths, "dataset_digest": joined(list(contents.values()))}, problems
