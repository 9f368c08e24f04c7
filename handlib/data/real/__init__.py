"""Real data sets, one file each, read from the folders that their authors distribute."""
