"""Stigmergic memory: cells with marks that are deposited and evaporate."""
