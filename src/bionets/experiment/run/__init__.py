"""A run: its folder, what is built for it, its callbacks, checkpoints, metrics and result."""
