"""What may become a training row, and why the rest may not."""
