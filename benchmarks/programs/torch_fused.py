"""PyTorch with the fused Adam that it has on request: `python -m benchmarks.programs.torch_fused JOB`."""

from benchmarks.programs.torch_plain import main

if __name__ == "__main__":
    main(fused_adam=True)
