"""What lies beside a checkpoint for whoever rounds its weights: files that change no weight."""
