"""Training data whose one side is made by models: distillation and back-translation."""
