"""Documented functions from source code that others wrote, each made to stand alone."""
