"""The pet store: a small domain whose answers all follow from one catalogue."""
