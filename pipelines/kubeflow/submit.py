"""Start a release on Kubeflow Pipelines."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from components.errors import InvalidInput
from components.models import IMAGE_PACKAGES, is_hub_id, is_in_images
from components.oci.adapter_images import LAYOUT_PREFIX
from components.settings import read_settings
from components.sources.address import parse_source
from components.sources.digests import changes, joined, read_parameters
from components.sources.names import split_names
from components.web import shown
from pipelines.kubeflow.client import Client
from pipelines.kubeflow.compile import package_text
from pipelines.kubeflow.params import KubeflowParams
from pipelines.kubeflow.pods import CACHE_MOUNT
from pipelines.kubeflow.settings import ClientSettings, CompileSettings
from pipelines.params import FILES
from pipelines.reading import read_values, sift
from pipelines.tracker import champion_dataset


@dataclass(frozen=True)
class SubmittedRun:
    """A run that was started.

    Attributes:
        run_id: Its id, also that of the release.
        url: Its page in the UI.
        hint: A command that makes the page reachable, if one is needed.
    """

    run_id: str
    url: str
    hint: str


def submit(
    params: KubeflowParams,
    use_cache: bool = True,
    check_data: bool = True,
    settings: ClientSettings | None = None,
) -> SubmittedRun:
    """Start a release and return at once.

    Args:
        params: Its parameters.
        use_cache: Whether finished stages whose inputs did not change are skipped.
        check_data: Whether the dataset is read from here for its digest; without one nothing is skipped.
        settings: How the back end is reached; by default from the environment.

    Raises:
        InvalidInput: Every problem with the parameters that can be known before anything is started.
        TunegateError: The back end can't be reached or refuses.
    """
    params = preflight(params, check_data)
    known = champion_dataset(params, params.dataset_digest, is_shared=True)
    params = params.model_copy(update={"champion_dataset": known})
    client = Client(settings)
    package = package_text(
        read_settings(CompileSettings),
        cache_dataset=use_cache and bool(params.dataset_digest),
    )
    name = f"{params.model_name} {datetime.now():%Y-%m-%d %H:%M:%S}"
    run_id = client.create_run(name, package, params.model_dump(mode="json"))
    return SubmittedRun(run_id, client.connection.run_url(run_id), client.connection.ui_hint)


def read_submission(
    preset: Path | None, overrides: dict[str, Any], problems: Sequence[str] = (), *, check_data: bool
) -> KubeflowParams:
    """Read the parameters of a submission and refuse what is wrong with any of them, all of it at once.

    Args:
        preset: As `read_params` takes it.
        overrides: As `read_params` takes them.
        problems: What is wrong already; it is told with the rest.
        check_data: As `preflight` takes it.

    Returns:
        The parameters with the dataset's digest.

    Raises:
        InvalidInput: Every value that is unknown, of a wrong type or out of range, or that the pods or,
            unless told otherwise, this machine can't read.
    """
    sifted = sift(KubeflowParams, read_values(preset, overrides))
    digest, around = _look_around(sifted.params, check_data, sifted.wrong)
    found = [*problems, *sifted.problems, *around]
    if found:
        raise InvalidInput("parameters", found)
    return sifted.params.model_copy(update={"dataset_digest": digest})


def preflight(params: KubeflowParams, check_data: bool = True) -> KubeflowParams:
    """Refuse what the pods could not read; return the parameters with the dataset's digest.

    Args:
        params: The parameters.
        check_data: Whether the dataset is read from here.

    Raises:
        InvalidInput: Every file that the pods or, unless told otherwise, this machine can't read.
    """
    digest, problems = _look_around(params, check_data)
    if problems:
        raise InvalidInput("parameters", problems)
    return params.model_copy(update={"dataset_digest": digest})


def _look_around(
    params: KubeflowParams, check_data: bool, wrong: Set[str] = frozenset()
) -> tuple[str, list[str]]:
    """Hold parameters against what the pods can reach, and against what is there.

    Args:
        params: The parameters.
        check_data: As `preflight` takes it.
        wrong: Those whose values say nothing: what depends on one of them is not looked at.

    Returns:
        The dataset's digest, and what is in the way.
    """
    from components.oci.registry import repository_name  # requests and oras take a while to import

    problems = list[str]()
    files = {key: getattr(params, key) for key in FILES if key not in wrong and getattr(params, key)}
    unfit = {key: _out_of_reach(key, named) for key, named in files.items()}
    problems += [problem for found in unfit.values() for problem in found]
    fetched = {
        key: named
        for key, named in files.items()
        if check_data and not unfit[key] and not any(map(_is_path, split_names(named)))
    }
    contents = read_parameters(fetched, params.max_dataset_bytes, refused := list[str]())
    problems += [f"{problem}; with --no-check the pods alone have to reach it" for problem in refused]
    digest = joined(list(contents.values())) if len(contents) == len(files) else ""
    if digest and wrong.isdisjoint(FILES):
        problems += changes(list(contents.values()), params.dataset_digest)
    if "base_model" not in wrong and not _pods_have(params.base_model):
        problems.append(
            f"base_model: got {params.base_model!r}, which the pods don't have; wanted a hub id "
            f"(org/name@revision), {' or '.join(IMAGE_PACKAGES)}, or a directory on the volume of "
            f"cache_claim ({CACHE_MOUNT}/...) that TUNEGATE_CLUSTER_CACHE_CLAIM names, too"
        )
    if "image_repository" not in wrong and repository_name(params.image_repository) is None:
        problems.append(
            f"image_repository: got {params.image_repository!r}, wanted host[:port]/name in lower "
            "case, without https:// and without a tag"
        )
    if "serving_target" not in wrong and params.serving_target != "kubernetes":
        problems.append("serving_target: got 'local', but a pod ends with its stage; wanted 'kubernetes'")
    return params.dataset_digest or digest, problems


def _out_of_reach(key: str, named: str) -> list[str]:
    """Say which sources of a parameter the pods can't read, and why."""
    problems = list[str]()
    for name in split_names(named):
        path = PurePosixPath(name.removeprefix(LAYOUT_PREFIX))
        if _is_path(name) and not path.is_relative_to(CACHE_MOUNT):
            problems.append(
                f"{key} {name}: is a path that the pods don't have; wanted a URL (https, s3, gs, az, hf, "
                f"oci) or a path on the volume of cache_claim ({CACHE_MOUNT}/...)"
            )
        elif not _is_path(name):
            try:
                parse_source(name)
            except InvalidInput as error:
                problems += [f"{key} {shown(name)}: {problem}" for problem in error.problems]
    return problems


def _is_path(name: str) -> bool:
    return "://" not in name


def _pods_have(base_model: str) -> bool:
    on_volume = PurePosixPath(base_model).is_relative_to(CACHE_MOUNT)
    return is_hub_id(base_model) or is_in_images(base_model) or on_volume
