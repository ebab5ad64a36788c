"""Spike functions: the Heaviside step forward, a chosen gradient backward."""
