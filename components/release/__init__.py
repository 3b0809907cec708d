"""The last stage: what is decided, who takes the live traffic, and what a person sees of it."""
