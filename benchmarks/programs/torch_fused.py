"""PyTorch with its fused Adam: `python -m benchmarks.programs.torch_fused JOB`."""

from benchmarks.programs.torch_plain import main

if __name__ == "__main__":
    main(fused_adam=True)
