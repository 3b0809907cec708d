"""Metrics as modules of Hugging Face `evaluate`, a folder each; nothing is fetched for them."""
