#!/usr/bin/env python3
"""Runs the `sh` blocks of a page as a new user would: in their order, in one shell, in an empty folder.

Takes the page and the folder that holds the `eagre` binary.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS_MAX = 600


def main() -> int:
    page, binaries = (Path(argument).resolve() for argument in sys.argv[1:])
    if not (binaries / "eagre").is_file():
        print(f"{binaries}/eagre is missing: cargo build --release")
        return 1
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    # `set -x` would print the data; each block's first line says where it stands.
    steps = [f"echo '--- block {number}'\n{block}" for number, block in enumerate(blocks, 1)]
    script = "set -euo pipefail\n" + "\n".join(steps)
    with tempfile.TemporaryDirectory(prefix="eagre-page-") as folder:
        environment = os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}", "EAGRE_PROTO": str(ROOT / "proto")}
        environment.pop("EAGRE_ENDPOINT", None)
        # A group of its own, so that a failed page leaves no service behind.
        shell = subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, start_new_session=True)
        try:
            status = shell.wait(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            print(f"not finished after {SECONDS_MAX} s")
            status = 1
        finally:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            shell.wait()
        for name in ("dev.log", "produce.log"):
            log = Path(folder) / name
            if status != 0 and log.exists():
                print(f"--- {name}\n{log.read_text()[-4000:]}")
    print(f"{len(blocks)} blocks, status {status}")
    return 0 if status == 0 and blocks else 1


if __name__ == "__main__":
    sys.exit(main())
