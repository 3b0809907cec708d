"""vLLM: how it is configured and started, its plugin for CPUs, and who may ask it."""
