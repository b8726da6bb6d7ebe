"""What an artefact costs on the machine that runs it."""
