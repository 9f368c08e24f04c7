"""The command line. Each command is a function; its docstring and its arguments are the help that it prints."""

import importlib
import sys

import tyro

from .. import __version__

# Each has a file of its own, which is imported when it is called: most of them bring torch.
PARSED = ("predict", "export", "evaluate", "reproduce", "results", "info")  # by tyro, from the function's own arguments
COMMANDS = ("train", "ablate", "data", "bench", *PARSED)
USAGE = """\
handlib: dense 3D hand pose from one RGB image, by neural rendering

usage: handlib COMMAND …        (handlib COMMAND --help says more)

  predict IMAGE…   meshes, joints and pictures from photographs of hands
  export SOURCE    hands as meshes for viewers and printers or as parameters for smplx; a model as ONNX
  train            train a network on synthetic hands (--profile laptop: a few minutes on two cores)
  evaluate         measure a network on a split of the benchmark, or on real data; writes a results file
  ablate STUDY     train with and without a part of the method; writes a results file
  reproduce TABLE  the tables and figures of the paper, from training to verdict; goes on where it was interrupted
  data VERB        check a download of a real data set; render or show the benchmark
  bench NAME       time the hand model, the renderer, the refinement or training; writes a results file
  results ACTION   show the results files of a folder, or verify them
  info             versions, devices, what would be used
"""


def main() -> None:
    """Entry point of `handlib`. What the user can mend ends in one line on stderr and exit status 2."""
    for stream in (sys.stdout, sys.stderr):  # "\\u03b2" where a terminal has no β, instead of an error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return
    if arguments[0] == "--version":
        print(__version__)
        return
    command, rest = arguments[0], arguments[1:]
    try:
        if command not in COMMANDS:
            raise ValueError(f"unknown command '{command}': choose one of {', '.join(COMMANDS)}")
        function = getattr(importlib.import_module(f".{command}", __package__), f"{command}_command")
        if command in PARSED:
            tyro.cli(function, prog=f"handlib {command}", args=rest)
        else:
            function(rest)
    except (ValueError, OSError, ModuleNotFoundError, FloatingPointError) as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: Exception) -> int:
    print(f"handlib: {error}", file=sys.stderr)
    return 2
