"""The commands: train, evaluate, compare, analyse, runs, new."""
