"""Prints what TensorFlow and the kernels can use here as JSON: `python -m seq2seq.ops.probe`."""

import json


def main() -> None:
    """Prints one line with the version of TensorFlow, its GPUs, and the state of the kernels."""
    import tensorflow as tf

    from seq2seq.ops.compile import state

    gpus = [device.name for device in tf.config.list_physical_devices("GPU")]
    print(json.dumps({"tensorflow": tf.version.VERSION, "gpus": gpus, "kernels": state()}))


if __name__ == "__main__":
    main()
