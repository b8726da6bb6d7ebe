"""What a person calls around the pipeline."""
