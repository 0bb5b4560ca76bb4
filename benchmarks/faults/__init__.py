"""Made-up faults: what must end with a valid result or the project's own error, tried by number."""
