"""Tests for functions that come without: guessed arguments, and what the code makes of them."""
