"""Fuzzing of every door: `make fuzz`, or `PYTHONPATH=tests python -m fuzz --help`."""
