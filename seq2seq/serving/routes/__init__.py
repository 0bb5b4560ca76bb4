"""The routes beside those of predictions: of the page, of sessions and of reloads."""
