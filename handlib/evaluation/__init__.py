"""Evaluation: metrics, the protocols of the field, results files and their audit."""
