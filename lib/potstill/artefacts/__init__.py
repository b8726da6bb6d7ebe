"""The artefact: a folder that every runtime loads from and nothing else."""
