"""The stress stage and the service gate: load, degraded modes, budgets."""
