"""Runs killed at random moments, and on a disk that fills up: see ``python -m tests.soak --help``."""
