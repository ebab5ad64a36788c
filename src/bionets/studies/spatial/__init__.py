"""Splits of spatial networks that have learnt several tasks."""
