"""Runs side by side: where they come from, how they are grouped, what their numbers say."""
