"""Make an artefact of a model that somebody else exported, so that it is run and scored as ours."""
