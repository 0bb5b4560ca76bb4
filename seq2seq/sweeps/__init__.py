"""Sweeps: many runs as one experiment, as grids or as searches by Optuna."""
