"""Answers that a student gives while it is trained, and what teachers and tests say of them."""
