"""Figures, contact sheets and the hand explorer."""
