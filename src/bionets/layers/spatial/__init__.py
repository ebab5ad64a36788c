"""Layers of neurons with learnable positions, and the costs of these positions."""
