"""Search over a step function `(tokens, state) -> (logits, state)`."""
