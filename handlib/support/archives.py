"""Reading an .npz from outside: nothing in it is unpickled, and no more memory is reserved than it has bytes.

Errors are `ValueError`s without the name of the file; the caller adds it.
"""

import io
import math
import zipfile
from pathlib import Path

import numpy as np

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: Path, most: int, mend: str) -> dict[str, np.ndarray]:
    """The arrays of an archive by their names. most: bytes that it may unpack to. mend: the end of an error."""
    failed = "not a readable .npz archive"
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > most:
                raise ValueError(f"it unpacks to {unpacked >> 20} MB, more than {most >> 20} are refused")
            arrays = {}
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                failed = f"the field '{name}' cannot be read"
                with archive.open(entry) as file:
                    _check_header(file, entry.file_size)
                with archive.open(entry) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
            return arrays
    except Exception as error:  # zipfile, zlib and NumPy raise whatever a damaged file leads them to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{failed} ({reason[:200]}); {mend}") from error


def _check_header(file: io.BufferedIOBase, size: int) -> None:
    """Refuses an array that its header makes larger than its bytes, before NumPy reserves memory for it."""
    shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array of shape {shape} in {size} bytes")
