"""How `tools/notebooks.py` and `tools/slides.py` turn a chapter into notebooks and slides."""
