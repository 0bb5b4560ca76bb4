"""Speed, side by side with what a user would pick instead.

`python -m benchmarks training` measures training steps, `python -m benchmarks growth` how their
cost grows. Nothing here imports a framework but the programs, each in a process of its own.
"""
