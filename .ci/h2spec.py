#!/usr/bin/env python3
"""Runs h2spec, the conformance suite of HTTP/2, against the gRPC port of `eagre dev`.

    .ci/h2spec.py [--tools FOLDER] BINARIES

BINARIES is the folder that holds `eagre`. h2spec is built on first use; its version and those of what it is made of are
pinned by .ci/h2spec/go.mod, their contents by go.sum. What fails must be what is tolerated below: more is an error, and
so is less, because then the list is out of date. Races alone may go either way.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as XML
from pathlib import Path

PINNED = Path(__file__).parent / "h2spec"
# A call whose message is waited for: so what h2spec does to an open stream never races with the answer.
CALL = "/eagre.v1.TopicService/ListTopics"
# Five headers of this length are a frame over our largest, 256 KiB, as one test wants to send it.
HEADER_BYTES = 60_000
TEST_SECONDS_MAX = 2
RUN_SECONDS_MAX = 240
START_SECONDS_MAX = 60
TESTS_MIN = 140

# Section and name of what fails, and why that is right. grpc-go 1.72.0 fails all of these too, and 24 more.
TOLERATED = {
    ("generic/2", "Sends a WINDOW_UPDATE frame on half-closed (remote) stream"):
        "h2spec wants data in the answer; a call without a message is answered by gRPC's trailers alone",
    ("generic/2", "Sends a PRIORITY frame on half-closed (remote) stream"):
        "the same",
    ("http2/3.5", "Sends invalid connection preface"):
        "the connection is closed with bytes unread, which the system tells as a reset and h2spec wants as an end",
}
# What fails or not, as it comes.
RACES = {
    ("http2/5.1.2", "Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded"):
        "calls without a message are answered at once, so whether there are ever too many depends on who is quicker; the "
        "tests of services/transport open calls that stay open, and see them refused",
}


def installed(tools: Path) -> Path:
    """The suite, built if it is not there. It is moved into place whole, so that a build cut short leaves nothing."""
    pins = b"".join((PINNED / name).read_bytes() for name in ("go.mod", "go.sum"))
    program = tools / f"h2spec-{hashlib.sha256(pins).hexdigest()[:12]}"
    if not program.exists():
        print("building h2spec", flush=True)
        tools.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tools) as folder:
            built = Path(folder) / "h2spec"
            package = "github.com/summerwind/h2spec/cmd/h2spec"
            subprocess.run(["go", "build", "-mod=readonly", "-o", built, package], check=True, cwd=PINNED)
            built.rename(program)
    return program


def port_of(server: subprocess.Popen) -> int:
    """Where it serves gRPC, as its log says."""
    for line in server.stderr:
        if found := re.search(r"listening grpc=127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise SystemExit("eagre dev ended before it listened")


def failures(report: Path) -> tuple[int, dict[tuple[str, str], str]]:
    """How many tests ran, and those that failed with what was expected and what came."""
    tests = list(XML.parse(report).iter("testcase"))
    broken = ((test, test.find("failure") if test.find("failure") is not None else test.find("error")) for test in tests)
    return len(tests), {
        (test.get("package"), test.get("classname")): " | ".join((why.text or "").split("\n"))
        for test, why in broken if why is not None
    }


def verdict(ran: int, failed: dict[tuple[str, str], str]) -> list[str]:
    """What is wrong with that."""
    wrong = [f"fails: {section} {name}: {why}" for (section, name), why in failed.items() if (section, name) not in TOLERATED | RACES]
    wrong += [f"does not fail any more, take it off the list: {section} {name}" for section, name in TOLERATED.keys() - failed.keys()]
    if ran < TESTS_MIN:
        wrong.append(f"only {ran} tests ran")
    return wrong


def check_verdict():
    """The list bites both ways."""
    assert not verdict(TESTS_MIN, dict.fromkeys(TOLERATED, ""))
    assert not verdict(TESTS_MIN, dict.fromkeys(TOLERATED | RACES, ""))
    assert len(verdict(TESTS_MIN, {**dict.fromkeys(TOLERATED, ""), ("http2/6.5", "new"): "x"})) == 1
    assert len(verdict(TESTS_MIN, dict.fromkeys(list(TOLERATED)[1:], ""))) == 1
    assert len(verdict(0, dict.fromkeys(TOLERATED, ""))) == 1


def main() -> int:
    arguments = sys.argv[1:]
    tools = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "eagre" / "tools"
    if arguments[:1] == ["--tools"]:
        tools, arguments = Path(arguments[1]), arguments[2:]
    if len(arguments) != 1:
        print(__doc__)
        return 2
    check_verdict()
    program = installed(tools)
    command = [Path(arguments[0]) / "eagre", "dev", "--bucket", "memory://", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EAGRE_")} | {"NO_COLOR": "1"}
    with tempfile.TemporaryDirectory(prefix="eagre-h2spec-") as folder:
        report = Path(folder) / "report.xml"
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            port = str(port_of(server))
            subprocess.run(
                [program, "-h", "127.0.0.1", "-p", port, "-P", CALL, "-o", str(TEST_SECONDS_MAX), "-j", report,
                 "--max-header-length", str(HEADER_BYTES)],
                timeout=RUN_SECONDS_MAX, stdout=subprocess.DEVNULL, check=False,
            )
            if server.poll() is not None:
                print("eagre dev ended meanwhile")
                return 1
        finally:
            server.terminate()
            try:
                server.wait(START_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                server.kill()
        ran, failed = failures(report)
    wrong = verdict(ran, failed)
    print("\n".join(wrong))
    print(f"{ran} tests, {len(failed)} failed, tolerated are {len(TOLERATED)}, and {len(RACES)} that is a race")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
