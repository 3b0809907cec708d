"""The evaluation stage and the quality gate: base, fine-tuned and champion on the same prompts."""
