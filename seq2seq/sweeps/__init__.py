"""Many runs as one experiment: grids, and searches by Optuna."""
