"""What stands between clients and a deployment's replicas: open paths, limits, whom to ask."""
