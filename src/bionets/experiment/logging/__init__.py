"""Mirrors of a run in the services of others."""
