"""The stress stage: every scenario in turn against the deployed candidate."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from components.conversations import Conversation, Conversations, Prompt, some_of
from components.errors import TunegateError
from components.loadtest.client import OK, ChatEndpoint, RequestRecord, ask, new_session
from components.loadtest.config import StressConfig
from components.loadtest.figures import draw_figures
from components.loadtest.load import LoadPlan
from components.loadtest.prompts import MOST_PROMPTS, Prompts, length, make_prompts, question, with_question
from components.loadtest.results import FEWEST_REQUESTS, ScenarioResult, StressResults, summarise
from components.loadtest.run import Run
from components.loadtest.scenarios import Scenario, scenarios
from components.serve.spec import ServingSpec
from components.serve.targets import serving_backend
from components.tracking.stage import Stage

ROOM_SHARE = 0.9  # of the context; tokens per character differ from prompt to prompt
ROWS_LOOKED_AT = 10 * MOST_PROMPTS


def run_stress(
    config: StressConfig, deployment_path: Path, eval_path: Path, results_path: Path, stage: Stage
) -> StressResults:
    """Load the candidate in every scenario and keep what was measured.

    Args:
        config: The load.
        deployment_path: The `ServingSpec` of what was deployed.
        eval_path: The eval set, whose prompts are asked.
        results_path: Where the `StressResults` are written.
        stage: Gets metrics, pictures, the results and every request's record.

    Raises:
        InvalidInput: The eval set has no prompt that fits the service.
        TunegateError: The service does not answer before any load.
    """
    spec = ServingSpec.read(deployment_path)
    backend = serving_backend(config.serving_target)
    endpoint = ChatEndpoint(
        base_url=backend.endpoint(spec.name),
        model_name=spec.model_name,
        max_tokens=config.load_max_tokens,
        timeout_s=config.request_timeout_s,
    )
    rows = some_of(Conversations(eval_path), ROWS_LOOKED_AT, config.seed)
    prompts = _fitting_prompts(config, spec, endpoint, rows)
    results = StressResults(
        adapter_digest=spec.adapter_digest,
        slo_ttft_ms=config.slo_ttft_ms,
        slo_itl_ms=config.slo_itl_ms,
        replicas=spec.replicas,
    )
    records: dict[str, list[RequestRecord]] = {}
    with tempfile.TemporaryDirectory(prefix="stress-") as temporary:
        folder = Path(temporary)
        for scenario in scenarios(prompts.normal[0]):
            result = ScenarioResult(name=scenario.name, title=scenario.title)
            plan = _plan(config, endpoint, prompts, scenario, folder)
            run = Run(backend, spec, config, plan, folder, stage.say, result)
            records[scenario.name] = _carry_through(scenario, run)
            results.scenarios.append(result)
            results.replicas_ready = run.ready_replicas()
            stage.metrics(_metrics(result))
            stage.say(_summary(result))
        _keep(results, records, results_path, folder, stage)
    return results


def _fitting_prompts(
    config: StressConfig, spec: ServingSpec, endpoint: ChatEndpoint, rows: Sequence[Conversation]
) -> Prompts:
    """Make prompts that are as long as asked for, and fit the service, by its own count of tokens.

    The chat template adds tokens to every prompt, so it takes two counts to know what a character costs.
    """
    sample = sorted((row.request for row in rows), key=length)[len(rows) // 2]
    longer = with_question(sample, f"{question(sample)}\n\n" * 3)
    tokens, longer_tokens = _count(endpoint, sample), _count(endpoint, longer)
    tokens_per_char = max(1, longer_tokens - tokens) / (length(longer) - length(sample))

    def chars(wanted_tokens: float) -> int:
        return int(length(sample) + (wanted_tokens - tokens) / tokens_per_char)

    room_tokens = (spec.max_model_len - config.load_max_tokens) * ROOM_SHARE
    return make_prompts(rows, chars(config.long_prompt_factor * tokens), chars(room_tokens), config.seed)


def _count(endpoint: ChatEndpoint, prompt: Prompt) -> int:
    answer = ask(new_session(), endpoint, prompt)
    if answer.outcome != OK or answer.prompt_tokens is None:
        raise TunegateError(
            f"{endpoint.base_url}: an ordinary prompt of {length(prompt)} characters was not answered "
            f"({answer.outcome}): {answer.detail or 'the server does not count prompt tokens'}"
        )
    return answer.prompt_tokens


def _plan(
    config: StressConfig, endpoint: ChatEndpoint, prompts: Prompts, scenario: Scenario, folder: Path
) -> LoadPlan:
    users, long_users = config.users(scenario.long_prompts)
    return LoadPlan(
        endpoint=endpoint,
        normal_prompts=prompts.normal,
        long_prompts=prompts.long,
        users=users,
        long_users=long_users,
        seconds=config.load_s,
        warm_up_s=config.warm_up_s,
        fewest_requests=FEWEST_REQUESTS,
        log=folder / f"{scenario.name}.requests.jsonl",
    )


def _carry_through(scenario: Scenario, run: Run) -> list[RequestRecord]:
    """Let a scenario's events happen; what goes wrong is part of its result."""
    try:
        for event in scenario.events:
            event.happen(run)
    except TunegateError as error:
        run.result.problem = str(error)
    finally:
        if run.load:
            run.load.end()
    records = run.load.records if run.load else []
    config = run.config
    run.result.users = summarise(records, config.objective, config.warm_up_s, config.scenario_duration_s)
    return records


def _metrics(result: ScenarioResult) -> dict[str, float]:
    """Flatten one scenario for MLflow: `<scenario>_ttft_p95_ms` and the like."""
    values: dict[str, float | None] = {
        "recovery_s": result.recovery_s,
        "first_answer_s": result.cold_start_s,
        "all_ready_s": result.all_ready_s,
        "client_cpu_share": result.client_cpu_share,
    }
    for user_class, stats in result.users.items():
        prefix = "" if user_class == "all" else f"{user_class}_"
        values |= {
            f"{prefix}requests": stats.requests,
            f"{prefix}failed_share": stats.failed_share,
            f"{prefix}goodput": stats.goodput,
            f"{prefix}requests_per_s": stats.requests_per_s,
            f"{prefix}output_tokens_per_s": stats.output_tokens_per_s,
            f"{prefix}prompt_tokens": stats.prompt_tokens,
        }
        for kind in ("ttft", "itl", "e2e"):
            found = getattr(stats, f"{kind}_ms")
            for name, value in found.model_dump().items() if found else ():
                values[f"{prefix}{kind}_{name}_ms"] = value
    return {f"{result.name}_{name}": value for name, value in values.items() if value is not None}


def _summary(result: ScenarioResult) -> str:
    parts = []
    if "all" in result.users:
        stats = result.users["all"]
        parts.append(f"{stats.requests} requests, {stats.requests - stats.ok} failed")
        parts.append(f"{stats.output_tokens_per_s:.0f} tokens/s")
        if stats.ttft_ms:
            parts.append(f"TTFT p95 {stats.ttft_ms.p95:.0f} ms")
        if stats.goodput is not None:
            parts.append(f"goodput {stats.goodput:.0%}")
    if "long" in result.users:
        lengths = (f"{result.users[name].prompt_tokens or 0:.0f}" for name in ("long", "normal"))
        parts.append(f"prompts of {' and '.join(lengths)} tokens")
    if result.recovery_s is not None:
        parts.append(f"ready again after {result.recovery_s:.0f} s")
    if result.cold_start_s is not None:
        parts.append(f"first answer after {result.cold_start_s:.0f} s")
    if result.gave_up_after_s is not None:
        parts.append(f"gave up after {result.gave_up_after_s:.0f} s")
    if result.problem:
        parts.append(result.problem)
    return f"{result.title}: {', '.join(parts)}"


def _keep(
    results: StressResults,
    records: dict[str, list[RequestRecord]],
    results_path: Path,
    folder: Path,
    stage: Stage,
) -> None:
    results.write(results_path)
    shutil.copy(results_path, folder / "results.json")
    for file in [folder / "results.json", *sorted(folder.glob("*.requests.jsonl"))]:
        stage.file(file, "stress")
    for title, png in draw_figures(results, records, folder):
        stage.figure(title, png)
