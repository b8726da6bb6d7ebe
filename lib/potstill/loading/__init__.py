"""Checkpoints as torch models, and where they compute."""
