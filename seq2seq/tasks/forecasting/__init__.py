"""Forecasting: a series in, its next steps out, with their uncertainty."""

from seq2seq.tasks.forecasting.task import Forecasting

__all__ = ["Forecasting"]
