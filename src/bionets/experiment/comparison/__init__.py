"""Comparison of runs: reading, grouping, statistics, tables and figures."""
