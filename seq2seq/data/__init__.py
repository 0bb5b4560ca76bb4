"""Sources of records, tokenizers and batches."""
