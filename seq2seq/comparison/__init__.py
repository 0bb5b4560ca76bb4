"""Compares runs: config, scores, significance, learning curves."""
