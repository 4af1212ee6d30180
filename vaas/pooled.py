"""``python -m vaas.pooled SCRIPT``: lay a script where its owner alone can read it, and hand it to HTCondor.

HTCondor takes no script from its input, and shows the environment and the arguments of a job to all who use the pool.
This runs as the job's owner. Its input is what the script and the job's description are to be, as JSON; for ``{}``, the
script is removed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["lay", "main"]


def lay(script: Path, text: str) -> None:
    """Write the script for its owner alone, in place of what lay there."""
    script.parent.mkdir(mode=0o700, exist_ok=True)
    script.parent.chmod(0o700)
    script.unlink(missing_ok=True)
    with os.fdopen(os.open(script, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700), "w") as file:
        file.write(text)


def main(argv: list[str]) -> int:
    """Return the exit code of condor_submit, which writes the job's number."""
    script, handed = Path(argv[0]), json.load(sys.stdin)
    if not handed:
        script.unlink(missing_ok=True)
        return 0
    code = 1
    try:
        lay(script, handed["script"])
        code = subprocess.run(["condor_submit", "-terse", "-"], input=handed["description"], text=True).returncode
    except OSError as error:
        print(f"The job cannot be submitted: {error}", file=sys.stderr)
    finally:
        if code:
            script.unlink(missing_ok=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
