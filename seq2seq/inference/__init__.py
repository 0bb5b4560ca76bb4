"""A saved run as a function."""
