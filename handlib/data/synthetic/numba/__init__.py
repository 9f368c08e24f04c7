"""Loops compiled for the CPU by numba, under the names of their reference."""
