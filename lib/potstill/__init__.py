"""Distil a large language model into a small one for edge devices, and prove what was made."""

__version__ = "0.1.0"
