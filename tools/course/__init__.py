"""How `tools/notebooks.py` turns a chapter into notebooks."""
