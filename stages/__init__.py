"""One script per stage of dvc.yaml; no stage imports another."""
