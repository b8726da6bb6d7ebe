"""Documented functions from installed source code."""
