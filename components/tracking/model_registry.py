"""The MLflow model registry: which adapter is candidate, champion and the one before."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.errors import InvalidInput, TunegateError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CANDIDATE, PREVIOUS = "champion", "candidate", "previous"

IMAGE_TAG = "tunegate.image"
IMAGE_DIGEST_TAG = "tunegate.image_digest"
ADAPTER_DIGEST_TAG = "tunegate.adapter_digest"
BASE_MODEL_TAG = "tunegate.base_model"
SERVING_SPEC_TAG = "tunegate.serving_spec"
SERVING_TARGET_TAG = "tunegate.serving_target"


@dataclass(frozen=True)
class RegisteredAdapter:
    """One version of a registered model.

    Attributes:
        model_name: The name that clients ask for and that is registered.
        version: The version's number, as MLflow writes it.
        image: The adapter's image, by digest.
        adapter_digest: What comes out of that image.
        base_model: The base model reference that it was trained on.
        run_id: The MLflow run that registered it.
        serving_spec: The `ServingSpec` it was promoted with, as JSON; empty before it was champion.
        serving_target: Where it is or was served: `local` or `kubernetes`.
    """

    model_name: str
    version: str
    image: str
    adapter_digest: str
    base_model: str
    run_id: str
    serving_spec: str
    serving_target: str


def register(
    client: "MlflowClient", *, model_name: str, image: str, adapter_digest: str, base_model: str, run_id: str
) -> str:
    """Make a version of an adapter, or find the one of the same image, and return its number.

    The version gets the alias `candidate`; image and digest are its tags.

    Raises:
        InvalidInput: The image is not named by digest.
    """
    digest = _image_digest(image)
    _ensure_registered_model(client, model_name)
    found = _version_by_digest(client, model_name, digest)
    if found is None:
        tags = {IMAGE_DIGEST_TAG: digest, ADAPTER_DIGEST_TAG: adapter_digest, BASE_MODEL_TAG: base_model}
        # A tracking server accepts as source only what lies in the run; the image is therefore a tag.
        source = client.get_run(run_id).info.artifact_uri
        found = client.create_model_version(
            model_name,
            source,
            run_id=run_id,
            tags=tags,
            description=f"Adapter image {image}",
            await_creation_for=0,
        )
    version = str(found.version)
    # The same image may meanwhile be found in another repository; the newest address is the one to pull.
    client.set_model_version_tag(model_name, version, IMAGE_TAG, image)
    client.set_registered_model_alias(model_name, CANDIDATE, version)
    return version


def champion(client: "MlflowClient", model_name: str) -> RegisteredAdapter | None:
    """Return the adapter that takes the live traffic, None before the first promotion."""
    return _by_alias(client, model_name, CHAMPION)


def registered_version(client: "MlflowClient", model_name: str, version: str) -> RegisteredAdapter:
    """Return one version.

    Raises:
        TunegateError: There is no such version.
    """
    return _registered(_version(client, model_name, version))


def champion_names(client: "MlflowClient") -> list[str]:
    """Return the names of the models that have a champion."""
    return _names_with(client, {CHAMPION})


def released_names(client: "MlflowClient") -> list[str]:
    """Return the names of the models that have a champion or a candidate."""
    return _names_with(client, {CHAMPION, CANDIDATE})


def previous(client: "MlflowClient", model_name: str) -> RegisteredAdapter | None:
    """Return the champion before the present one, None where there was none."""
    return _by_alias(client, model_name, PREVIOUS)


def version_of(client: "MlflowClient", model_name: str, image: str) -> RegisteredAdapter | None:
    """Return the version of an image, found by the image's digest."""
    found = _version_by_digest(client, model_name, _image_digest(image))
    return _registered(found) if found else None


def set_champion(
    client: "MlflowClient", model_name: str, version: str, serving_spec_json: str, serving_target: str
) -> RegisteredAdapter:
    """Make a version the champion, keep the former one as `previous` and verify both.

    A second call with the same version changes no alias.

    Args:
        client: Client of the registry.
        model_name: The registered model.
        version: The version to promote; it was made by `register`.
        serving_spec_json: What it is served with, so that a roll-back can serve it again.
        serving_target: Where that is.

    Raises:
        TunegateError: There is no such version, or the registry does not say afterwards what was asked.
    """
    adapter = _registered(_version(client, model_name, version))
    aliases = _aliases(client, model_name)
    former = aliases.get(CHAMPION)
    client.set_model_version_tag(model_name, adapter.version, SERVING_SPEC_TAG, serving_spec_json)
    client.set_model_version_tag(model_name, adapter.version, SERVING_TARGET_TAG, serving_target)
    expected_previous = aliases.get(PREVIOUS)
    if former and former != adapter.version:
        # Before the champion moves: a crash in between leaves the live adapter named by both aliases.
        expected_previous = former
        client.set_registered_model_alias(model_name, PREVIOUS, former)
    client.set_registered_model_alias(model_name, CHAMPION, adapter.version)
    if aliases.get(CANDIDATE) == adapter.version:
        client.delete_registered_model_alias(model_name, CANDIDATE)
    return _verified(client, model_name, adapter.version, expected_previous)


def _verified(
    client: "MlflowClient", model_name: str, version: str, previous_version: str | None
) -> RegisteredAdapter:
    aliases = _aliases(client, model_name)
    asked = {CHAMPION: version, PREVIOUS: previous_version}
    wrong = [
        f"{alias} is version {aliases.get(alias)}, asked for {wanted}"
        for alias, wanted in asked.items()
        if aliases.get(alias) != wanted
    ]
    if wrong:
        raise TunegateError(
            f"{model_name}: the model registry did not do as asked ({'; '.join(wrong)}); "
            "another release may be promoting at the same time: check the aliases in MLflow and run again"
        )
    return _registered(_version(client, model_name, version))


def _names_with(client: "MlflowClient", aliases: set[str]) -> list[str]:
    found = client.search_registered_models(max_results=1000)
    return sorted(model.name for model in found if aliases & model.aliases.keys())


def _ensure_registered_model(client: "MlflowClient", model_name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model_name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _aliases(client: "MlflowClient", model_name: str) -> dict[str, str]:
    """Return version numbers by alias; none of a model that is not registered."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(model_name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    return {alias: str(version) for alias, version in aliases.items()}


def _by_alias(client: "MlflowClient", model_name: str, alias: str) -> RegisteredAdapter | None:
    version = _aliases(client, model_name).get(alias)
    return _registered(_version(client, model_name, version)) if version else None


def _version(client: "MlflowClient", model_name: str, version: str) -> "ModelVersion":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(model_name, version)
    except MlflowException as error:
        raise TunegateError(f"{model_name} version {version}: {error.message}") from error


def _version_by_digest(client: "MlflowClient", model_name: str, digest: str) -> "ModelVersion | None":
    found = client.search_model_versions(
        f"name = '{model_name}' and tags.`{IMAGE_DIGEST_TAG}` = '{digest}'", max_results=1
    )
    return found[0] if found else None


def _registered(version: "ModelVersion") -> RegisteredAdapter:
    tags = version.tags
    missing = [tag for tag in (IMAGE_TAG, ADAPTER_DIGEST_TAG, BASE_MODEL_TAG) if tag not in tags]
    if missing:
        raise TunegateError(
            f"{version.name} version {version.version} was not registered by a release (it has no tag "
            f"{', '.join(missing)}); move its aliases to a version that was"
        )
    return RegisteredAdapter(
        model_name=version.name,
        version=str(version.version),
        image=tags[IMAGE_TAG],
        adapter_digest=tags[ADAPTER_DIGEST_TAG],
        base_model=tags[BASE_MODEL_TAG],
        run_id=version.run_id or "",
        serving_spec=tags.get(SERVING_SPEC_TAG, ""),
        serving_target=tags.get(SERVING_TARGET_TAG, "local"),
    )


def _image_digest(image: str) -> str:
    digest = image.rpartition("@")[2]
    if "@" not in image or not digest.startswith("sha256:"):
        raise InvalidInput(f"image {image!r}", ["is not named by digest; wanted ...@sha256:..."])
    return digest
