"""Serving on a Kubernetes cluster: what is applied, what runs in the pods, why a roll-out is not ready."""
