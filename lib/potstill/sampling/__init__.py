"""A teacher's answers, as they come."""
