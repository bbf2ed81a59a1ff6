"""The parts of benchmarks/performance.py: what is measured, by whom, in which order, and how it is written down."""
