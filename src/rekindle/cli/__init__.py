"""The `rekindle` command: the verbs, and the only room that prints or exits."""

from rekindle.cli.main import app, main

__all__ = ["app", "main"]
