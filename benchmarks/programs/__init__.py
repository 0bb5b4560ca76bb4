"""The programs that are measured: `python -m benchmarks.programs.NAME JOB`, a process each.

Those of PyTorch, JoeyNMT and OpenNMT-tf, and `limit`, also run in virtual environments of their
own, which have neither our TensorFlow nor seq2seq.
"""
