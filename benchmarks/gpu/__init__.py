"""Correctness and timings on a CUDA device: `python -m benchmarks.gpu`."""
