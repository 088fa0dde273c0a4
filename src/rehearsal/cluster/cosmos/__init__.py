"""Cosmos: package repositories, and services installed from them (0.6.2)."""
