"""MLflow: a stage that writes, records that are read, the model registry, a stage's page and metrics."""
