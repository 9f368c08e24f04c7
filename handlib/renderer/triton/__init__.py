"""Kernels compiled for CUDA by Triton, under the names of their reference."""
