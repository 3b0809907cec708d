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
    tool_call_parser: str,
    ready_timeout_s: int,
    deployment: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Serve the adapter out of its image and wait until every replica has answered with it."""
    from pathlib import Path

    from components.serve.deploy import DeployConfig, deploy_candidate
    from components.tracking.shell import run_stage

    config = DeployConfig.of(locals())
    with run_stage("deploy", config, page, reads=[image], makes=[deployment]) as stage:
        spec = deploy_candidate(config, Path(image.path), stage)
    spec.write(Path(deployment.path))
    deployment.metadata["adapter_digest"] = spec.adapter_digest
