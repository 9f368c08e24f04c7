"""`python -m handlib`."""

from .cli import main

if __name__ == "__main__":
    main()
