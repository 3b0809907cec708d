"""What is deployed and how the releases ended, for the terminal."""

import json
from collections.abc import Collection
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from components.errors import InvalidInput, TunegateError
from components.serve.backend import Backend
from components.serve.lease import Unfinished
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
    "half-way": "yellow",
    "stopped": "dim",
    "skipped": "dim",
}
RELEASES_SHOWN = 8
WHY_CHARACTERS = 240


def status_view() -> RenderableType:
    """Draw what serves, wherever releases are served, what was stopped half-way, and the last releases."""
    parts: list[RenderableType] = []
    half_way: set[str] = set()
    for target in _targets():
        try:
            parts += [_deployments(target), ""]
            for left in _unfinished(target):
                parts += [_unfinished_view(left, target), ""]
                half_way.add(left.intent.release)
        except TunegateError as error:  # a cluster that is away hides nothing else
            parts += [Text(f"{target}: {error}", style="red"), ""]
    return Group(*parts, _releases(half_way))


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


def _unfinished(target: str) -> list[Unfinished]:
    """Return what was begun with the traffic of any model here and is not over."""
    backend = serving_backend(target)
    names = {spec.model_name for spec in backend.deployments()}
    names |= set(model_registry.released_names(runs.client()))
    names |= {_params(release)["model_name"] for release in _shown_releases()}
    found = [backend.unfinished(name) for name in sorted(names)]
    return [left for left in found if left is not None]


def _unfinished_view(left: Unfinished, target: str) -> Text:
    """Say what was begun with a model's traffic and is not over, and who ends it."""
    intent = left.intent
    what = f"{intent.model_name}: the {intent.kind} of {intent.to_deployment} by {intent.by}"
    if left.holder:
        return Text(f"{what} is going on", style="cyan")
    way = "finishes that" if intent.kind == "retirement" else "finishes it or takes it back"
    comes_next = "`tunegate up`, `rollback` or `run`" if target == "local" else "`tunegate run` or `submit`"
    return Text(f"{what} was stopped half-way; the next {comes_next} {way}", style="yellow")


def _releases(half_way: Collection[str]) -> RenderableType:
    from components.release.ending import outcome

    running = running_release()
    releases = _shown_releases()
    if not releases:
        return "No release yet."
    table = Table("release", "outcome", "model", "why", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[:3]:
        column.no_wrap = True
    for release in releases:
        ended: str = "running" if release == running else outcome(release)
        if ended == "failed" and release in half_way:  # whoever comes next decides
            ended = "half-way"
        why = _why(release) if ended in ("refused", "failed") else ""
        table.add_row(release, Text(ended, style=COLOURS[ended]), _params(release)["model_name"], Text(why))
    return table


def _why(release: str) -> str:
    """Return at which stage a release ended, and the first thing that stood in its way."""
    from components.release.ending import outcome_so_far
    from components.release.outcome import derive_outcome

    client = runs.client()
    known = runs.find_parent_run(client, release) is not None
    ended = outcome_so_far(client, release) if known else derive_outcome([])
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
