"""Distributions of forecasts: how many numbers a model returns for each step, and their loss.

Models return raw numbers, float32 `(batch, horizon, targets, size)`; a distribution makes
parameters of them. Losses are of scaled values; quantiles and samples are scaled values, too.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import tensorflow as tf
from scipy import stats

from seq2seq.training_types import ElementLoss
