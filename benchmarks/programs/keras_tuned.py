"""Stock Keras with the settings that ours has: `python -m benchmarks.programs.keras_tuned JOB`.

That is one operation at a time, and a garbage collector that looks at new objects alone. Memory is
kept between steps by the environment's variables.
"""

import gc

import tensorflow as tf

from benchmarks.programs.keras_stock import main

if __name__ == "__main__":
    tf.config.threading.set_inter_op_parallelism_threads(1)
    gc.freeze()
    main()
