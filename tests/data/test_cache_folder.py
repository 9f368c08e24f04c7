"""Where the commands keep what they have rendered."""

import os
import subprocess
import sys


def test_a_user_whom_the_system_does_not_know(tmp_path):
    """As in a container run with --user 4711: no entry in passwd, no HOME."""
    code = (
        "import pwd, pathlib, posixpath\n"
        "def unknown(*_): raise KeyError('getpwuid(): uid not found')\n"
        "pwd.getpwuid = unknown\n"
        "from handlib.data.cache import CACHE\nprint(CACHE)"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "HANDLIB_CACHE")}
    environment |= {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(tmp_path))
