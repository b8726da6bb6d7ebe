"""Bring a model from a package, the hub, a folder or a GGUF file into a checkpoint folder."""
