"""KFP component: fine-tune a LoRA adapter."""

from kfp import dsl


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def finetune(
    train_set: dsl.Input[dsl.Dataset],
    base_model: str,
    seed: int,
    max_length: int,
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

    from components import stage_page, tracking
    from components.finetune.train import FinetuneConfig, train
    from components.stage_metrics import log_metrics

    config = FinetuneConfig(
        base_model=base_model,
        seed=seed,
        max_length=max_length,
        learning_rate=learning_rate,
        num_train_epochs=num_train_epochs,
        per_device_train_batch_size=per_device_train_batch_size,
        gradient_accumulation_steps=gradient_accumulation_steps,
        warmup_ratio=warmup_ratio,
        lora_r=lora_r,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
    )
    with tracking.stage("finetune", config.model_dump(), upstream=[train_set.metadata]) as stage:
        digest = train(config, Path(train_set.path), Path(adapter.path), stage)
    stage_page.write_page(stage, Path(page.path))
    adapter.metadata.update({tracking.RUN_KEY: stage.run_id, "adapter_digest": digest})
    log_metrics(stage.record, metrics)
