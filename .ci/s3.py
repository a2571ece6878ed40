#!/usr/bin/env python3
"""Runs a command beside a real S3 server on loopback, which is installed on first use and stopped at the end.

    .ci/s3.py [--tools FOLDER] COMMAND ...

The server is versitygw over a folder: small and quick, right about conditional writes. It does not sync what it writes,
so it says nothing about power cuts; it cannot have a key `x/y` while there is an `x`; and without --keep-alive it ends
the connection after each request. The command finds in its environment:

    AWS_ENDPOINT_URL, AWS_ALLOW_HTTP, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
    EAGRE_TEST_S3_BUCKET   the name of an empty bucket
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"
BUCKET = "eagre-test"
ACCESS, SECRET, REGION = "eagre", "eagre-secret", "us-east-1"
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 10


def installed(tools: Path) -> Path:
    """The server, built if it is not there. It is moved into place whole, so that a build cut short leaves nothing."""
    program = tools / f"versitygw-{VERSION}" / "versitygw"
    if not program.exists():
        print(f"building versitygw {VERSION}, a minute or two", flush=True)
        tools.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tools) as folder:
            environment = os.environ | {"GOBIN": folder}
            subprocess.run(["go", "install", f"{PACKAGE}@{VERSION}"], check=True, env=environment)
            program.parent.mkdir(exist_ok=True)
            (Path(folder) / "versitygw").rename(program)
    return program


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def wait_until_it_answers(server: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while server.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/")
            # Without a signature it refuses; so it is there.
            if connection.getresponse().status == 403:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise SystemExit(f"versitygw does not answer:\n{log.read_text()[-2000:]}")


def main() -> int:
    arguments = sys.argv[1:]
    tools = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "eagre" / "tools"
    if arguments[:1] == ["--tools"]:
        tools, arguments = Path(arguments[1]), arguments[2:]
    if not arguments:
        print(__doc__)
        return 2
    program = installed(tools)
    with tempfile.TemporaryDirectory(prefix="eagre-s3-") as folder:
        # A folder below the server's is a bucket.
        objects, log, port = Path(folder) / "objects", Path(folder) / "log", free_port()
        (objects / BUCKET).mkdir(parents=True)
        credentials = {"ROOT_ACCESS_KEY_ID": ACCESS, "ROOT_SECRET_ACCESS_KEY": SECRET}
        options = ["--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}", "--region", REGION]
        with log.open("wb") as out:
            server = subprocess.Popen(
                [program, *options, "posix", objects],
                env=os.environ | credentials,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until_it_answers(server, port, log)
            settings = {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": REGION,
                "AWS_ACCESS_KEY_ID": ACCESS,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "EAGRE_TEST_S3_BUCKET": BUCKET,
                "NO_PROXY": "127.0.0.1",
            }
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            return subprocess.run(arguments, env=inherited | settings).returncode
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(timeout=STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


if __name__ == "__main__":
    sys.exit(main())
