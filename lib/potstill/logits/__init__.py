"""A teacher's distributions over rows: made once, stored, read by key."""
