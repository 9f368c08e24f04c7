"""Loops that numba compiles for the CPU, under the same file names as their references."""
