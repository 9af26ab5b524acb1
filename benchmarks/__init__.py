"""What the instrumentation costs, side by side with what a user would take instead. `python -m benchmarks --help`."""
