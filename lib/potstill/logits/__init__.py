"""A teacher's distributions over rows: stored and read by key, combined, or made live."""
