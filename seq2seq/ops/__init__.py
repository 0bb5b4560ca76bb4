"""Operations on tensors, a file for each; every function chooses how it runs.

It runs as a compiled kernel, where `dispatch` allows one, or by TensorFlow's operations; callers
need not know. The operations:

- `recurrent`, `bidirectional`: LSTM and GRU over time; their equations are in `recurrent_cells`,
  TensorFlow's loop in `recurrent_loop`, the calls of kernels in `recurrent_kernels`
- `scan`: any step over time
- `dense`, `dropout`, `gather`, `attention`, `cross_entropy`, `crf`, `adam`
- `top_k`: also `argmax` and `log_sum_exp`

`compile` builds the kernels of `source/`; `differentiable` gives them higher derivatives.
"""
