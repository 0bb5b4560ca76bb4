"""Serves runs over HTTP."""
