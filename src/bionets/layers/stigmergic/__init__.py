"""Stigmergic memory: marks that are made and evaporate."""
