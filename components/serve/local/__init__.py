"""Serving on this machine: vLLM replicas under supervisord behind a router."""
