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
    for name, value in stage.record.metrics.items():
        metrics.log_metric(name, value)
    # KFP keeps metrics as metadata alone; its local cache takes an output without a file for a lost one.
    Path(metrics.path).write_text(stage.record.model_dump_json(), encoding="utf-8")
