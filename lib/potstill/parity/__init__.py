"""What a checkpoint computes, recorded; whether an artefact computes the same."""
