"""A component for each concern of an environment and of the foundation."""
