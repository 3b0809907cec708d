"""KFP component: fine-tune a LoRA adapter."""

from kfp import dsl


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def finetune(
    train_set: dsl.Input[dsl.Dataset],
    train_tokens: dsl.Input[dsl.Dataset],
    base_model: str,
    seed: int,
    max_length: int,
    learn_turns: str,
    learning_rate: float,
    num_train_epochs: float,
    per_device_train_batch_size: int,
    gradient_accumulation_steps: int,
    warmup_ratio: float,
    lora_r: int,
    lora_alpha: int,
    lora_dropout: float,
    adapter: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Train a LoRA adapter on the completions of the training set; a killed run resumes."""
    from pathlib import Path

    from components.finetune.train import FinetuneConfig, train
    from components.tracking.shell import run_stage

    config = FinetuneConfig.of(locals())
    with run_stage("finetune", config, page, reads=[train_set], makes=[adapter], metrics=[metrics]) as stage:
        tokens = Path(train_tokens.path)
        digest = train(config, Path(train_set.path), Path(adapter.path), stage, tokens)
    adapter.metadata["adapter_digest"] = digest
