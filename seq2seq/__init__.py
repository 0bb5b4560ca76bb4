"""seq2seq: train, compare and use recurrent sequence models on TensorFlow and Keras 3."""

__version__ = "0.1.0"
