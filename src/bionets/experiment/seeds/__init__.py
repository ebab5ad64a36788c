"""Several seeds of one config, trained at once as one batched model."""
