"""Rows as token ids: what every training and caching reads."""
