"""What a student fails at decides what its teacher is asked next."""
