"""Mesos: the master that knows agents and tasks, and the agent that runs them."""
