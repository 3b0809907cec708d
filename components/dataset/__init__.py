"""The dataset stage: every row is accepted, or quarantined with a reason."""
