"""Analysis of trained models, and its figures."""
