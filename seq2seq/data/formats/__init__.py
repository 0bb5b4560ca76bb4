"""Datasets read from files, one format a module; and from TensorFlow Datasets.

A new format is a class that derives from `base.FileDataset`, a choice in `conf/data/`, and its
name in `trust` (saved runs may name it) and in `naming.READERS` (it is for users' own data).
"""
