"""How a candidate is loaded."""

from pydantic import Field

from components.loadtest.results import Objective
from components.tracking.shell import StageConfig

GRACE_S = 30.0


class StressConfig(StageConfig):
    """The load and its budgets; see `ReleaseParams` for the parameters of the same names.

    Attributes:
        warm_up_s: Load before each measurement.
        request_timeout_s: An answer that takes longer has failed.
    """

    serving_target: str
    seed: int
    load_users: int = Field(ge=1)
    load_max_tokens: int = Field(ge=1)
    scenario_duration_s: float = Field(gt=0)
    slo_ttft_ms: float = Field(gt=0)
    slo_itl_ms: float = Field(gt=0)
    long_prompt_factor: float = Field(ge=1)
    long_prompt_share: float = Field(gt=0, lt=1)
    max_recovery_s: float = Field(gt=0)
    max_cold_start_s: float = Field(gt=0)
    warm_up_s: float = Field(default=2.0, ge=0)
    request_timeout_s: float = Field(default=30.0, gt=0)

    @property
    def objective(self) -> Objective:
        """The service-level objective."""
        return Objective(self.slo_ttft_ms, self.slo_itl_ms)

    @property
    def load_s(self) -> float:
        """Length of a load, seconds."""
        return self.warm_up_s + self.scenario_duration_s

    @property
    def recovery_patience_s(self) -> float:
        """Longest wait for a killed replica; beyond the budget, so that the card can say how late it was."""
        return self.max_recovery_s + GRACE_S

    @property
    def cold_start_patience_s(self) -> float:
        """Longest wait for a service to stop, for its first answer, and for its last replica after that."""
        return self.max_cold_start_s + GRACE_S

    def users(self, mixed: bool) -> tuple[int, int]:
        """Return how many users there are, and how many of them send long prompts.

        Where both kinds are `mixed`, there is at least one of each.
        """
        if not mixed:
            return self.load_users, 0
        users = max(2, self.load_users)
        return users, max(1, min(round(users * self.long_prompt_share), users - 1))
