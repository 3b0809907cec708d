"""The fine-tuning stage: a LoRA adapter trained on the completions of the training set."""
