"""Kernels that Triton compiles for CUDA, under the same file names as their references."""
