"""The fit: losses, callbacks, checkpoints and resume."""
