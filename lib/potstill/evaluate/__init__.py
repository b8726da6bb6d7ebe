"""Measure what was made: tasks, parity, latency, intervals."""
