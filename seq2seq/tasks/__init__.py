"""What differs between translation, tagging, classification, ..."""
