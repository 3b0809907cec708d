"""Where Tunegate keeps its state on this machine and what the machine has."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def home() -> Path:
    """Return the state directory: `TUNEGATE_HOME`, by default `.tunegate` in the working directory."""
    return Path(os.environ.get("TUNEGATE_HOME", ".tunegate")).resolve()


class Settings(BaseSettings):
    """What the set-up wrote down about this machine, in `settings.env` of the state directory.

    An environment variable of the same name, with the prefix `TUNEGATE_`, wins over the file.
    """

    model_config = SettingsConfigDict(env_prefix="TUNEGATE_", frozen=True, extra="ignore")

    device: Literal["cpu", "cuda"] = Field("cpu", description="What models are trained and served on.")
    gpus: int = Field(1, ge=1, description="How many GPUs a machine with `cuda` has.")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="Port of `tunegate mlflow`.")
    insecure_registries: str = Field(
        "",
        description="Registries besides this machine's to speak plain http with: host[:port], with commas.",
    )


def load_settings() -> Settings:
    """Read the settings of this machine."""
    return Settings(_env_file=home() / "settings.env")  # type: ignore[call-arg]  # mypy sees no such keyword
