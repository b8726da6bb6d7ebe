"""Prompts, mined code, teacher samples and how they become training rows."""
