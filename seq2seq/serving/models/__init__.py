"""The models that a server offers: their runs, batches, sessions and streams."""
