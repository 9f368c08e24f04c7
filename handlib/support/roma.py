"""Imports roma at the first use of one of its functions: it loads torch's compiler, as slow to import as torch itself.

Write `from ..support import roma`.
"""


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    import roma

    return getattr(roma, name)
