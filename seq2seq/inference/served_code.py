"""The code that MLflow runs to load the model of a run; nothing is pickled."""

from seq2seq.inference.predictor import Predictor
from seq2seq.tracking.served_model import serve

serve(Predictor.load)
