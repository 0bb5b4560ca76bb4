"""Labels as ids: classes of texts, labels of tokens, spans."""
