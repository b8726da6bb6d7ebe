"""Whether an artefact computes what its checkpoint was recorded to compute, and at what cost."""
