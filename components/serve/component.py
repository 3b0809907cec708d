"""KFP component: deploy the candidate."""

from kfp import dsl


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def deploy(
    image: dsl.Input[dsl.Artifact],
    base_model: str,
    model_name: str,
    serving_target: str,
    replicas: int,
    max_model_len: int,
    ready_timeout_s: int,
    deployment: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Serve the adapter out of its image and wait until every replica has answered with it."""
    from pathlib import Path

    from components import stage_page, tracking
    from components.serve.deploy import DeployConfig, deploy_candidate

    config = DeployConfig(
        base_model=base_model,
        model_name=model_name,
        serving_target=serving_target,
        replicas=replicas,
        max_model_len=max_model_len,
        ready_timeout_s=ready_timeout_s,
    )
    with tracking.stage("deploy", config.model_dump(), upstream=[image.metadata]) as stage:
        spec = deploy_candidate(config, Path(image.path), stage)
    stage_page.write_page(stage, Path(page.path))
    spec.write(Path(deployment.path))
    deployment.metadata.update({tracking.RUN_KEY: stage.run_id, "adapter_digest": spec.adapter_digest})
