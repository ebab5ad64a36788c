"""Runs the shell commands of README and docs, at small size."""
