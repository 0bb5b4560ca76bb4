"""Datasets that need no download: dates and names from Unicode CLDR."""
