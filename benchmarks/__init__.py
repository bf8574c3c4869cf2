"""Speed and size that the project promises, measured on real processes; run with ``python -m benchmarks``."""
