"""A run: its folder, construction, callbacks, checkpoints, metrics and result."""
