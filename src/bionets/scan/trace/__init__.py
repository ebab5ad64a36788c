"""Tracing: runs a step once and records its operations in a graph."""
