"""Runs side by side: what differs, scores, significance, curves."""
