"""roma, which is imported when the first of its functions is asked for.

It brings torch's compiler with it, and that takes as long to import as torch itself. Write `from ..support import
roma`.
"""


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    import roma

    return getattr(roma, name)
