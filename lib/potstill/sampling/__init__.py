"""Ask the teacher: on this machine, or through any OpenAI-compatible endpoint."""
