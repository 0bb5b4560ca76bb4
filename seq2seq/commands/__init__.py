"""The commands of `seq2seq`, one module each; TensorFlow is imported only when one runs."""
