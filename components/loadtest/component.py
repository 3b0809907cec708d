"""KFP components: stress the candidate, and the service gate."""

from kfp import dsl


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def stress(
    deployment: dsl.Input[dsl.Artifact],
    eval_set: dsl.Input[dsl.Dataset],
    serving_target: str,
    seed: int,
    load_users: int,
    load_max_tokens: int,
    scenario_duration_s: int,
    slo_ttft_ms: float,
    slo_itl_ms: float,
    long_prompt_factor: float,
    long_prompt_share: float,
    max_recovery_s: float,
    max_cold_start_s: float,
    results: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Load the candidate: steady, with longer prompts, with a replica killed, and from a cold start."""
    from pathlib import Path

    from components.loadtest.config import StressConfig
    from components.loadtest.stress import run_stress
    from components.tracking.shell import run_stage

    config = StressConfig.of(locals())
    read = [deployment, eval_set]
    with run_stage("stress", config, page, reads=read, makes=[results], metrics=[metrics]) as stage:
        run_stress(config, Path(deployment.path), Path(eval_set.path), Path(results.path), stage)


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def service_gate(
    results: dsl.Input[dsl.Artifact],
    min_goodput: float,
    min_goodput_long: float,
    max_failed_share_killed: float,
    max_recovery_s: float,
    max_cold_start_s: float,
    verdict: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.Markdown],
) -> bool:
    """Let the candidate be promoted only if it kept every budget, degraded modes included."""
    from pathlib import Path

    from components.loadtest.gate import ServiceGateConfig, judge_service
    from components.tracking.shell import run_stage

    config = ServiceGateConfig.of(locals())
    with run_stage("service-gate", config, page, reads=[results]) as stage:
        judged = judge_service(config, Path(results.path), stage)
    judged.write(Path(verdict.path))
    return judged.passed
