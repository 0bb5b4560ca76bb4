"""Operations on tensors: one public function for each, in a file of its name.

A function chooses how it runs: as a compiled kernel (see `dispatch`), by TensorFlow's operations,
or by Keras'. Callers need not know. What the files compute:

- `recurrent`: LSTM and GRU over time, in one direction or both; `scan`: any step over time
- `dense`, `dropout`, `gather`, `attention`, `cross_entropy`, `crf`, `top_k`, `adam`
"""
