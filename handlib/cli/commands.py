"""The command line. Each command is a function; its docstring and its arguments are the help that it prints."""

import importlib
import os
import sys

import tyro

from .. import __version__

# Each has a file of its own, which is imported when it is called: most of them bring torch.
PARSED = ("predict", "export", "evaluate", "reproduce", "results", "info")  # by tyro, from the function's own arguments
COMMANDS = ("train", "ablate", "data", "bench", *PARSED)
USAGE = """\
handlib: dense 3D hand pose from one RGB image, by neural rendering

usage: handlib COMMAND …        (handlib COMMAND --help says more)

  predict IMAGE…   estimate meshes and joints of hands in photographs and videos
  export SOURCE    write hands as meshes for viewers and printers or as parameters for smplx; a model as ONNX
  train            train a network on synthetic hands (--profile laptop: a few minutes on two cores)
  evaluate         measure a network on a split of the benchmark, or on real data; writes a results file
  ablate STUDY     train with and without a part of the method; writes a results file
  reproduce TABLE  make the paper's tables and figures, from training to verdict; resumes after an interruption
  data VERB        check a download of a real data set; render or show the benchmark
  bench NAME       time the hand model, the renderer, prediction or training, among others; writes a results file
  results ACTION   show the results files of a folder, or verify them
  info             show versions, devices, and what would be used

With any command, --traceback shows where in the code an error came from. handlib --version prints the version.
"""
MENDABLE = (ValueError, OSError, ModuleNotFoundError, FloatingPointError)


def main() -> None:
    """Entry point of `handlib`. An error is one line on stderr, without a traceback unless --traceback asks for it.

    Exit status: 2 for what the user can mend, 1 for what only a change of handlib can.
    """
    for stream in (sys.stdout, sys.stderr):  # "\\u03b2" where a terminal has no β, instead of an error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    arguments = [argument for argument in sys.argv[1:] if argument != "--traceback"]
    show = len(arguments) < len(sys.argv) - 1
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return
    if arguments[0] == "--version":
        print(__version__)
        return
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        sys.exit(_fail(ValueError(f"unknown command '{command}': choose one of {', '.join(COMMANDS)}")))
    try:
        try:
            function = getattr(importlib.import_module(f".{command}", __package__), f"{command}_command")
            if command in PARSED:
                tyro.cli(function, prog=f"handlib {command}", args=rest)
            else:
                function(rest)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # what reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(141)  # as of a program that SIGPIPE ended
    except Exception as error:
        if show:
            raise
        sys.exit(_fail(error))


def _fail(error: Exception) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MENDABLE):
        print(f"handlib: {text}", file=sys.stderr)
        return 2
    if isinstance(error, MemoryError) or "memory" in text:
        print(f"handlib: not enough memory: ask for less at once ({text[:200]})", file=sys.stderr)
        return 2
    text = f"{type(error).__name__}: {text[:300]}"
    print(f"handlib: internal error; please report it with the output of --traceback: {text}", file=sys.stderr)
    return 1
