"""What the first cell of every notebook calls: find the book's files, choose a profile, or say why not."""

import os
import subprocess
import sys
from pathlib import Path

from .checking import Sentence

UNSET = "/OWNER/"
PROFILES = ("smoke", "laptop", "gpu")
FOLDER = "handlib-course"  # of the clone; "handlib" would hide the installed package


class CannotStart(Sentence, SystemExit):
    """Why a notebook cannot run."""


def start(repository: str, profile: str = "laptop") -> None:
    """Makes the book's folder the current one, with results and helpers, and sets the profile.

    In a clone nothing is fetched. Elsewhere, as on Colab, the repository is cloned once; $HANDLIB_REPOSITORY, an
    address or a folder, comes before the address in the notebook. $HANDLIB_PROFILE comes before the cell's profile,
    except on Colab. Ends in `CannotStart` with what to do about it.
    """
    if profile not in PROFILES:
        raise CannotStart(f"PROFILE = {profile!r} is none of {', '.join(PROFILES)}: choose one in this cell.")
    if "google.colab" in sys.modules or "HANDLIB_PROFILE" not in os.environ:
        os.environ["HANDLIB_PROFILE"] = profile
    if not Path("chapter.py").is_file():
        os.chdir(_cloned(os.environ.get("HANDLIB_REPOSITORY", repository)) / "book")


def _cloned(repository: str) -> Path:
    """A folder with the repository's files."""
    if Path(repository, "book", "chapter.py").is_file():
        return Path(repository).resolve()
    if UNSET in repository:
        raise CannotStart(
            "These notebooks do not know where their repository is: run `make repository URL=…` in it, or set "
            "HANDLIB_REPOSITORY to its address before you start."
        )
    folder = Path(FOLDER).resolve()
    if not (folder / "book").is_dir():
        command = ["git", "clone", "--quiet", "--depth", "1", repository, str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise CannotStart("git is not installed: the book's files cannot be fetched without it.") from None
        except subprocess.CalledProcessError as error:
            why = error.stderr.strip().splitlines()[-1:] or ["git gave no reason"]
            raise CannotStart(f"The book's files could not be fetched from {repository}: {why[0]}") from None
    return folder
