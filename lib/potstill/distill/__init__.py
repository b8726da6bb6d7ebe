"""Teach a student from a teacher's cached distributions: losses, logit store, training loop."""
