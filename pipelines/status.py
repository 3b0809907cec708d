"""What is deployed and how the releases ended, for the terminal."""

import json
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from components.errors import InvalidInput, TunegateError
from components.serve.backend import Backend
from components.serve.spec import ServingSpec
from components.serve.targets import serving_backend
from components.settings import home
from components.tracking import model_registry, records, runs
from pipelines.local import ReleaseResult, last_log_lines, running_release
from pipelines.params import ReleaseParams

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
WHY_CHARACTERS = 240


def status_view() -> RenderableType:
    """Draw what serves, wherever releases are served, and the last releases."""
    parts: list[RenderableType] = []
    for target in _targets():
        try:
            parts += [_deployments(target), ""]
        except TunegateError as error:  # a cluster that is away hides nothing else
            parts += [Text(f"{target}: {error}", style="red"), ""]
    return Group(*parts, _releases())


def _targets() -> list[str]:
    """Return where releases were to be served, this machine first."""
    client = runs.client()
    champions = [model_registry.champion(client, name) for name in model_registry.champion_names(client)]
    targets = {champion.serving_target for champion in champions if champion}
    targets |= {_params(release)["serving_target"] for release in _shown_releases()}
    return ["local", *sorted(targets - {"local"})]


def _deployments(target: str) -> RenderableType:
    backend = serving_backend(target)
    specs = backend.deployments()
    if not specs and target != "local":
        return "Nothing is deployed on the cluster."
    if not specs:
        return "Nothing is deployed; `tunegate run` makes a release, `tunegate up` serves the champion again."
    return _table(backend, specs)


def _table(backend: Backend, specs: list[ServingSpec]) -> RenderableType:
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
    releases = _shown_releases()
    if not releases:
        return "No release yet."
    table = Table("release", "outcome", "model", "why", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[:3]:
        column.no_wrap = True
    for release in releases:
        ended = "running" if release == running else outcome(release)
        why = _why(release) if ended in ("refused", "failed") else ""
        table.add_row(release, Text(ended, style=COLOURS[ended]), _params(release)["model_name"], Text(why))
    return table


def _why(release: str) -> str:
    """Return at which stage a release ended, and the first thing that stood in its way."""
    from components.release.outcome import derive_outcome

    client = runs.client()
    known = runs.find_parent_run(client, release) is not None
    ended = derive_outcome(records.recorded_stages(client, release, with_pictures=False) if known else [])
    first, more = "".join(ended.detail[:1]), len(ended.detail) - 1
    text = shorten(f"{ended.why} {first}", WHY_CHARACTERS, placeholder=" ...")
    return f"{text} (and {more} more)" if more > 0 else text


def _shown_releases() -> list[str]:
    return [path.name for path in _release_folders()][:RELEASES_SHOWN]


def _params(release: str) -> dict[str, Any]:
    path = home() / "releases" / release / "params.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


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
    names = model_registry.champion_names(runs.client())
    if model is None and len(names) == 1:
        return names[0]
    if not names:
        raise TunegateError("nothing was promoted yet: start a release with `tunegate run`")
    if model not in names:
        raise InvalidInput("--model", [f"got {model!r}, wanted one of {', '.join(names)}"])
    return model


def champions_backend(model_name: str) -> Backend:
    """Return the back end on which a model's champion is served."""
    champion = model_registry.champion(runs.client(), model_name)
    return serving_backend(champion.serving_target if champion else "local")


def served_model(model: str | None) -> tuple[str, str]:
    """Return the live endpoint (without `/v1`) and the name of a model that is served.

    Raises:
        TunegateError: Nothing of that name is served.
    """
    name = only_model(model)
    backend = champions_backend(name)
    if backend.champion(name) is None:
        raise TunegateError(f"{name} is not being served: `tunegate up` starts it")
    return backend.live_endpoint(name), name


def stop_model(model: str) -> None:
    """Stop the replicas of a model's champion, wherever it is served; it stays the champion.

    Raises:
        TunegateError: Nothing of that name is served.
    """
    name = only_model(model)
    backend = champions_backend(name)
    serving = backend.champion(name)
    if serving is None:
        raise TunegateError(f"{name} is not being served")
    backend.scale(serving.name, 0)


def result_view(result: ReleaseResult, params: ReleaseParams) -> list[Text | str]:
    """Return how a release ended, line by line: its checks, its card and how to ask the model."""
    from components.release.card.curl import curl_command
    from components.release.card.facts import read_examples
    from components.release.card.summary import summary_lines

    client = runs.client()
    stages = records.recorded_stages(client, result.release_id)
    headline, *lines = summary_lines(stages)
    parts: list[Text | str] = ["", Text(headline, style=f"bold {COLOURS[result.ending]}")]
    parts += [Text(line) for line in lines]
    if result.ending == "failed" and not stages:
        parts += ["The end of its log:", *(Text(line) for line in last_log_lines(result.log))]
    parts += ["", f"card      {result.card}", f"log       {result.log}"]
    if result.ending == "promoted":
        endpoint = serving_backend(params.serving_target).live_endpoint(params.model_name)
        parts += [f"endpoint  {endpoint}/v1", "", "Ask it:", ""]
        parts.append(curl_command(endpoint, params.model_name, read_examples(client, stages)))
    return parts
