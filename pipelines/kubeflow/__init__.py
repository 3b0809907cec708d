"""The release on Kubeflow Pipelines: compile the package, submit it, watch it, put it on a schedule."""
