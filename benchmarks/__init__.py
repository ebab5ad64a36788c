"""Side-by-side timings of bionets, PyTorch and other libraries: `python -m benchmarks`."""
