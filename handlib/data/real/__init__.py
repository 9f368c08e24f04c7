"""Readers of real data sets, one file each, for the folders that their authors distribute."""
