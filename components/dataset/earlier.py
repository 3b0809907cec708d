"""The dataset of the champion, as its release has kept it in MLflow."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from components.dataset.drift import Earlier
from components.dataset.profile import FILE, MOST_BYTES, DatasetProfile
from components.errors import TunegateError
from components.tracking.champion_data import ChampionData, champion_data
from components.web import shown

if TYPE_CHECKING:
    from mlflow import MlflowClient


class NothingKept(TunegateError):
    """Of the champion's dataset no profile was ever kept."""


def earlier_dataset(
    client: "MlflowClient", model_name: str, say: Callable[[str], None], is_limited: bool = False
) -> Earlier | None:
    """Return the dataset of a model's champion; None where there is nothing to compare with, and say why.

    Args:
        client: Of the tracking server.
        model_name: The registered model.
        say: Is told in one line why there is nothing to compare with, unless there is no champion.
        is_limited: Whether a difference from it may be too large. Then it is an error that what was kept
            can't be read: that is no reason to let a dataset pass.

    Raises:
        TunegateError: It is limited, and can't be read.
    """
    try:
        found = champion_data(client, model_name)
        return _read(client, found) if found else None
    except TunegateError as error:
        why = f"not compared with the champion's dataset: {shown(' '.join(str(error).split()))}"
        if is_limited and not isinstance(error, NothingKept):
            raise TunegateError(
                f"{why}; what differs is limited: try again, or set those limits to 1"
            ) from error
        say(why)
        return None


def _read(client: "MlflowClient", found: ChampionData) -> Earlier:
    """Read the profile of a champion's dataset.

    Raises:
        NothingKept: There is none.
        TunegateError: It can't be read, or is broken.
    """
    who = f"champion version {found.version}"
    if not found.fingerprint:
        raise NothingKept(f"nobody knows what {who} was trained on; the next one will say")
    try:
        content = found.file(client, FILE, MOST_BYTES)
    except TunegateError as error:
        raise TunegateError(f"the {FILE} of {who} is not used: {error}") from error
    except Exception as error:  # whatever the client of a store of artifacts raises
        raise TunegateError(f"the {FILE} of {who} could not be read: {error}") from error
    if content is None:
        raise NothingKept(f"MLflow has no {FILE} of {who}; one that is promoted from here on has it")
    try:
        profile = DatasetProfile.model_validate_json(content)
    except ValidationError as error:
        # Of what is wrong with it, nothing that stands in it: whoever wrote it is a stranger.
        raise TunegateError(f"the {FILE} of {who} is broken: {error.errors()[0]['msg']}") from error
    return Earlier(found.version, found.fingerprint, profile)
