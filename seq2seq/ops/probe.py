"""Prints what TensorFlow and the kernels can use here as JSON: `python -m seq2seq.ops.probe`."""

import json


def main() -> None:
    """Prints TensorFlow's version, its GPUs, the state of the kernels and their instructions."""
    import tensorflow as tf

    from seq2seq.ops.compile import state
    from seq2seq.ops.processor import describe_instructions

    report = {
        "tensorflow": tf.version.VERSION,
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
        "kernels": state(),
        "instructions": describe_instructions(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
