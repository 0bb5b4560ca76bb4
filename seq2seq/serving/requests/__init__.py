"""Requests: their bodies, checks and errors, and what happens to every one."""
