"""The commands of `seq2seq`, one module each; none imports TensorFlow before it is run."""
