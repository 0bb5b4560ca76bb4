"""The programs that are measured: `python -m benchmarks.programs.NAME JOB`, a process each.

`torch_plain` and `limit` also run in PyTorch's own virtual environment, which has neither
TensorFlow nor seq2seq.
"""
