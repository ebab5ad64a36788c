"""The commands: train, evaluate, compare, analyse."""
