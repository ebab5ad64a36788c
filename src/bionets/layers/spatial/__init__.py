"""Layers of neurons with a learnable position in the plane, and the costs of their positions."""
