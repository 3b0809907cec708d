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

    from components import stage_page, tracking
    from components.loadtest.config import StressConfig
    from components.loadtest.stress import run_stress
    from components.stage_metrics import log_metrics

    config = StressConfig(
        serving_target=serving_target,
        seed=seed,
        load_users=load_users,
        load_max_tokens=load_max_tokens,
        scenario_duration_s=scenario_duration_s,
        slo_ttft_ms=slo_ttft_ms,
        slo_itl_ms=slo_itl_ms,
        long_prompt_factor=long_prompt_factor,
        long_prompt_share=long_prompt_share,
        max_recovery_s=max_recovery_s,
        max_cold_start_s=max_cold_start_s,
    )
    upstream = [deployment.metadata, eval_set.metadata]
    with tracking.stage("stress", config.model_dump(), upstream=upstream) as stage:
        run_stress(config, Path(deployment.path), Path(eval_set.path), Path(results.path), stage)
    stage_page.write_page(stage, Path(page.path))
    results.metadata[tracking.RUN_KEY] = stage.run_id
    log_metrics(stage.record, metrics)


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

    from components import stage_page, tracking
    from components.loadtest.gate import ServiceGateConfig, judge_service

    config = ServiceGateConfig(
        min_goodput=min_goodput,
        min_goodput_long=min_goodput_long,
        max_failed_share_killed=max_failed_share_killed,
        max_recovery_s=max_recovery_s,
        max_cold_start_s=max_cold_start_s,
    )
    with tracking.stage("service-gate", config.model_dump(), upstream=[results.metadata]) as stage:
        judged = judge_service(config, Path(results.path), stage)
    stage_page.write_page(stage, Path(page.path))
    judged.write(Path(verdict.path))
    return judged.passed
