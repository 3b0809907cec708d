"""What is deployed on this machine and how the releases ended, for the terminal."""

import json
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from components.checks import Check
from components.errors import InvalidInput, TunegateError
from components.serve.local import LocalBackend
from components.settings import home
from pipelines.local import ReleaseResult, last_log_lines

COLOURS = {
    "passed": "green",
    "promoted": "green",
    "ready": "green",
    "starting": "yellow",
    "inconclusive": "yellow",
    "interrupted": "yellow",
    "refused": "red",
    "failed": "red",
    "stopped": "dim",
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
    for spec in specs:
        champion = backend.champion(spec.model_name)
        live = champion is not None and champion.name == spec.name
        url = backend.live_endpoint(spec.model_name) if live else backend.endpoint(spec.name)
        role, name = ("champion" if live else "candidate"), spec.name
        for replica in backend.replicas(spec.name):
            state = Text(replica.state, style=COLOURS[replica.state])
            table.add_row(name, role, replica.name.removeprefix(f"{spec.name}-"), state, f"{url}/v1")
            name = role = url = ""
    return table


def _releases() -> RenderableType:
    from components.release.closing import outcome

    releases = [path.name for path in _release_folders()][:RELEASES_SHOWN]
    if not releases:
        return "No release yet."
    table = Table("release", "outcome", "model", "card", box=None, padding=(0, 2, 0, 0))
    for release in releases:
        folder = home() / "releases" / release
        params = json.loads((folder / "params.json").read_text(encoding="utf-8"))
        ended = outcome(release)
        shown = str(folder / "card.html") if (folder / "card.html").is_file() else ""
        table.add_row(release, Text(ended, style=COLOURS[ended]), params["model_name"], shown)
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
    from components.registry import champions
    from components.tracking import client

    names = [adapter.model_name for adapter in champions(client())]
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


def result_view(result: ReleaseResult, model_name: str) -> RenderableType:
    """Draw how a release ended: its checks, its card and how to ask the model."""
    from components import tracking

    stages = tracking.recorded_stages(tracking.client(), result.release_id)
    checks = [(v.stage, check) for s in stages for v in s.record.verdicts for check in v.checks]
    headline = Text.assemble(
        "\nRelease ", result.release_id, " ", (result.ending.upper(), f"bold {COLOURS[result.ending]}")
    )
    parts: list[RenderableType] = [headline]
    if checks:
        parts.append(_checks(checks))
    parts += [
        Text(f"{stage.record.stage} failed: {stage.record.error}", style="red")
        for stage in stages
        if stage.record.status == "failed"
    ]
    if result.ending == "failed" and not any(s.record.status == "failed" for s in stages):
        parts += ["The end of its log:", *last_log_lines(result.log)]
    parts += ["", f"card      {result.card}", f"log       {result.log}"]
    if result.ending == "promoted":
        endpoint = LocalBackend().live_endpoint(model_name)
        parts += [
            f"endpoint  {endpoint}/v1",
            "",
            "Ask it:",
            "",
            curl_command(endpoint, model_name, _question()),
        ]
    return Group(*parts)


def _checks(checks: list[tuple[str, Check]]) -> Table:
    table = Table("stage", "check", "value", "limit", "", box=None, padding=(0, 2, 0, 0))
    for stage, check in checks:
        value = "not measured" if check.value is None else f"{check.value:.4g} {check.unit}"
        limit = f"{'≥' if check.bound == 'min' else '≤'} {check.limit:.4g}"
        table.add_row(stage, check.name, value, limit, Text(check.status, style=COLOURS[check.status]))
    return table


def _question() -> str:
    """A question that the card's reader can ask: the first held-out row's would need the data; this needs none."""
    return "What can you help me with?"


def curl_command(endpoint: str, model_name: str, question: str) -> str:
    """Return the command line that asks a served model."""
    body = json.dumps({"model": model_name, "messages": [{"role": "user", "content": question}]})
    quoted = body.replace("'", "'\\''")
    return f"curl -s {endpoint}/v1/chat/completions -H 'Content-Type: application/json' -d '{quoted}'"
