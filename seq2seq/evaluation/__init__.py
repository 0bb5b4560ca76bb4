"""Scores from predictions."""
