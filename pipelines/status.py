"""What is deployed on this machine and how the releases ended, for the terminal."""

import json
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from components import tracking
from components.errors import InvalidInput, TunegateError
from components.serve.local import LocalBackend
from components.settings import home
from pipelines.local import ReleaseResult, last_log_lines, running_release

COLOURS = {
    "passed": "green",
    "promoted": "green",
    "ready": "green",
    "running": "cyan",
    "starting": "yellow",
    "inconclusive": "yellow",
    "interrupted": "yellow",
    "refused": "red",
    "failed": "red",
    "stopped": "dim",
    "skipped": "dim",
}
RELEASES_SHOWN = 8


def status_view() -> RenderableType:
    """Draw what serves and the last releases."""
    return Group(_deployments(LocalBackend()), "", _releases())


def _deployments(backend: LocalBackend) -> RenderableType:
    specs = backend.deployments()
    if not specs:
        return "Nothing is deployed; `tunegate run` makes a release, `tunegate up` serves the champion again."
    table = Table("deployment", "role", "replica", "state", "endpoint", box=None, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.overflow = "fold"  # a name that is cut off can't be copied
    for spec in specs:
        champion = backend.champion(spec.model_name)
        live = champion is not None and champion.name == spec.name
        url = backend.live_endpoint(spec.model_name) if live else backend.endpoint(spec.name)
        address = f"{url}/v1"
        role, name = ("champion" if live else "candidate"), spec.name
        for replica in backend.replicas(spec.name):
            state = Text(replica.state, style=COLOURS[replica.state])
            table.add_row(name, role, replica.name.removeprefix(f"{spec.name}-"), state, address)
            name = role = address = ""
    return table


def _releases() -> RenderableType:
    from components.release.closing import outcome

    running = running_release()
    releases = [path.name for path in _release_folders()][:RELEASES_SHOWN]
    if not releases:
        return "No release yet."
    table = Table("release", "outcome", "model", box=None, padding=(0, 2, 0, 0))
    for release in releases:
        params = json.loads((home() / "releases" / release / "params.json").read_text(encoding="utf-8"))
        ended = "running" if release == running else outcome(release)
        table.add_row(release, Text(ended, style=COLOURS[ended]), params["model_name"])
    return table


def _release_folders() -> list[Path]:
    """Return the folders of all releases, the last one first."""
    return sorted((p.parent for p in (home() / "releases").glob("*/params.json")), reverse=True)


def card_path(release: str | None) -> Path:
    """Return the release card of a release, by default of the last one.

    Raises:
        InvalidInput: There is no such release, or it has no card.
    """
    folders = {path.name: path for path in _release_folders()}
    if not folders:
        raise TunegateError("there is no release yet: start one with `tunegate run`")
    wanted = release or next(iter(folders))
    if wanted not in folders:
        raise InvalidInput(f"release {wanted!r}", [f"not found; there are {', '.join(folders)}"])
    path = folders[wanted] / "card.html"
    if not path.is_file():
        raise InvalidInput(
            f"release {wanted!r}", ["has no card (yet); `tunegate status` shows how it stands"]
        )
    return path


def only_model(model: str | None) -> str:
    """Return the named model, or the only one that was ever promoted here.

    Raises:
        InvalidInput: There is no such model, or several and none was named.
    """
    from components.registry import champion_names

    names = champion_names(tracking.client())
    if model is None and len(names) == 1:
        return names[0]
    if not names:
        raise TunegateError("nothing was promoted yet: start a release with `tunegate run`")
    if model not in names:
        raise InvalidInput("--model", [f"got {model!r}, wanted one of {', '.join(names)}"])
    return model


def served_model(model: str | None) -> tuple[str, str]:
    """Return the live endpoint (without `/v1`) and the name of a model that is served.

    Raises:
        TunegateError: Nothing of that name is served.
    """
    name, backend = only_model(model), LocalBackend()
    if backend.champion(name) is None:
        raise TunegateError(f"{name} is not being served: `tunegate up` starts it")
    return backend.live_endpoint(name), name


def result_view(result: ReleaseResult, model_name: str) -> list[Text | str]:
    """Return how a release ended, line by line: its checks, its card and how to ask the model."""
    from components.release.curl import curl_command
    from components.release.facts import read_examples
    from components.release.summary import summary_lines

    client = tracking.client()
    stages = tracking.recorded_stages(client, result.release_id)
    headline, *lines = summary_lines(stages)
    parts: list[Text | str] = ["", Text(headline, style=f"bold {COLOURS[result.ending]}")]
    parts += [Text(line) for line in lines]
    if result.ending == "failed" and not stages:
        parts += ["The end of its log:", *(Text(line) for line in last_log_lines(result.log))]
    parts += ["", f"card      {result.card}", f"log       {result.log}"]
    if result.ending == "promoted":
        endpoint = LocalBackend().live_endpoint(model_name)
        parts += [f"endpoint  {endpoint}/v1", "", "Ask it:", ""]
        parts.append(curl_command(endpoint, model_name, read_examples(client, stages)))
    return parts
