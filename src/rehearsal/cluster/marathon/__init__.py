"""Marathon: apps, deployments and their tasks (1.10)."""
