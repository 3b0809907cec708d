"""Conversations under the base model's chat template: what is read, what is learned, what is refused."""
