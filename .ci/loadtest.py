#!/usr/bin/env python3
"""Runs the load test as its users do, and looks at what it says: a step to ten times the load, a service that is killed
under load, every planted fault, a reading later, what is typed wrong. Times are printed and judge nothing.

  .ci/loadtest.py FOLDER            where eagre and eagre-loadtest were built
  .ci/loadtest.py FOLDER --kafka    the same load on an Apache Kafka broker, FOLDER has a build with the feature
                                    kafka
"""

import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

FINDINGS = {
    "lost", "duplicated", "reordered", "wrong_offset", "gap", "went_back", "corrupted", "foreign",
    "visible_though_failed", "skipped", "readers_disagree", "never_sent", "wrong_end", "protocol",
}  # fmt: skip
FILES = ["result.json", "report.html", "series.csv", "ack.hlog", "end-to-end.hlog", "scenario.toml", "record.ndjson"]


def fail(what: str):
    sys.exit(f"loadtest: {what}")


def check(condition: bool, what: str):
    if not condition:
        fail(what)


class LoadTest:
    def __init__(self, folder: Path, work: Path):
        self.binary, self.work = folder / "eagre-loadtest", work

    def __call__(self, *arguments: str, status: int | None = 0, timeout_s: int = 300) -> str:
        done = subprocess.run(
            [self.binary, *arguments], cwd=self.work, text=True, timeout=timeout_s, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        if done.returncode != status and (status is not None or done.returncode not in (0, 1)):
            fail(f"{' '.join(arguments)}: status {done.returncode}, not {status}:\n{done.stdout}")
        return done.stdout

    def run(self, *arguments: str, status: int = 0) -> dict:
        out = self.work / f"run-{len(list(self.work.iterdir()))}"
        said = self("run", *arguments, "--out", str(out), status=status)
        print(said)
        return self.result(out)

    def result(self, out: Path) -> dict:
        for name in FILES:
            check((out / name).stat().st_size > 0, f"{name} is empty")
        check(not list(out.glob("*.part")), "a file was left unfinished")
        result = json.loads((out / "result.json").read_text())
        kinds = {finding["kind"] for finding in result["checks"]["findings"]}
        check(kinds == FINDINGS, f"what was looked for: {kinds ^ FINDINGS}")
        result["out"] = out
        return result


def right(result: dict, by_bounds: bool = True):
    wrong = [finding for finding in result["checks"]["findings"] if finding["count"]]
    check(not wrong, f"found: {wrong}")
    outcomes = ["passed"] if by_bounds else ["passed", "bound_broken"]
    check(result["verdict"]["outcome"] in outcomes, result["verdict"]["sentence"])
    checks, totals = result["checks"], result["totals"]
    check(checks["acked"] > 1_000 and checks["read"] >= checks["acked"], f"too little was checked: {checks}")
    check(checks["offsets_compared"] >= checks["acked"], "not every acknowledged offset was compared")
    check(not checks["unchecked"], f"unchecked: {checks['unchecked']}")
    check(totals["acked_records"] >= 0.99 * totals["offered_records"], f"too little was served: {totals}")


def step_10x(loadtest: LoadTest):
    result = loadtest.run("step-10x", "--set", "scale_to=20s")
    right(result)
    rates = [point["acked_bytes_s"] for point in result["series"] if 4 <= point["at"] < 19]
    check(max(rates) >= 5 * min(rates), f"the load did not rise tenfold: {rates}")
    check(sum(result["server"]["requests"].values()) > 0, "the bucket's requests were not counted")
    page = (result["out"] / "report.html").read_text()
    check("http://" not in page and "https://" not in page, "the report loads something")


def restart(loadtest: LoadTest):
    result = loadtest.run("restart", "--set", "scale_to=20s")
    right(result)
    kills = [event for event in result["events"] if event["kind"] == "kill"]
    check(len(kills) >= 2 and result["server"]["restarts"] == len(kills), f"{len(kills)} kills")
    check(result["totals"]["reconnects"] > 0, "nobody lost a connection")


def shapes(loadtest: LoadTest):
    """Several topics, readers from the end, keys, sizes that differ, trace, a sink, a search for the limit."""
    right(loadtest.run("--rate", "2MiB", "--seconds", "4", "--topics", "3", "--producers", "5", "--consumers", "2"))
    own = loadtest.work / "own.toml"
    own.write_text(
        "warm_up = '1s'\narrivals = 'poisson'\n[topics]\ncount = 2\n[producers]\ncount = 7\n"
        "[[stages]]\nshape = 'ramp'\nfrom = '500/s'\nto = '3000/s'\nfor = '5s'\n"
        "[records]\nsize = { median = '500B', sigma = 0.8, max = '64KiB' }\nkeys = { kind = 'zipf', count = 100, exponent = 1.1 }\n"
        "[[consumers]]\nfrom = 'latest'\n[[consumers]]\nfrom = 'latest'\njoin = '2s'\nleave = '3s'\n"
    )
    result = loadtest.run("own.toml")
    right(result)
    check(any(event["kind"] == "read_back" for event in result["events"]), "nobody read from the first record on")
    right(loadtest.run("flights", "--set", "scale_to=8s"))
    sink = subprocess.Popen([loadtest.binary, "sink"], stdout=subprocess.PIPE, text=True)
    try:
        target = sink.stdout.readline().strip()
        flags = ["--rate", "max", "--seconds", "3", "--consumers", "0", "--no-read-back", "--target", target]
        told = loadtest("run", "--target", target, status=2)
        check("--no-read-back" in told, told)
        result = loadtest.run(*flags)
        check("not read back" in result["verdict"]["sentence"], result["verdict"]["sentence"])
        check(result["checks"]["acked"] > 10_000, "a sink acknowledges more than that")
    finally:
        sink.kill()
        sink.wait()
    search = ["--bound", "p99=30s", "--from", "1MiB", "--upto", "2MiB", "--seconds", "4", "--out", "limit"]
    said = loadtest("find-limit", *search)
    check("holds up to 2.0 MiB/s, the highest rate" in said, said)
    check(len(json.loads((loadtest.work / "limit/limit.json").read_text())) == 2, "two rates were tried")


def interrupted(loadtest: LoadTest, scenario: list[str]):
    out = loadtest.work / f"interrupted-{scenario[0]}"
    process = subprocess.Popen(
        [loadtest.binary, "run", *scenario, "--out", str(out)], cwd=loadtest.work, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    series = out / "series.csv.part"
    while not series.exists():
        check(time.monotonic() < deadline and process.poll() is None, "the run did not begin")
        time.sleep(0.05)
    # Some seconds of load.
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    check(process.wait(timeout=60) == 130, "an interrupted run ends with 130")
    check(loadtest.result(out)["verdict"]["outcome"] == "partial", "the report does not say that it is partial")


def is_ready(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


@contextlib.contextmanager
def flipped(bucket: Path):
    """A bit amid each object of records."""
    sound = {file: file.read_bytes() for file in (bucket / "wal").rglob("*") if file.is_file()}
    check(bool(sound), "the bucket has no objects of records")
    for file, content in sound.items():
        damaged = bytearray(content)
        damaged[len(damaged) // 2] ^= 1
        file.write_bytes(damaged)
    try:
        yield
    finally:
        for file, content in sound.items():
            file.write_bytes(content)


def later(loadtest: LoadTest, folder: Path):
    """What a run wrote is read back after the service was killed and started again; what is missing is found."""
    bucket = loadtest.work / "bucket"

    def serve():
        log = (loadtest.work / "dev.log").open("w")
        process = subprocess.Popen(
            [folder / "eagre", "dev", "--bucket", bucket, "--grpc", "127.0.0.1:18170", "--http", "127.0.0.1:18171"],
            stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not is_ready("http://127.0.0.1:18171/readyz"):
            if time.monotonic() > deadline or process.poll() is not None:
                process.kill()
                fail(f"the service did not start:\n{(loadtest.work / 'dev.log').read_text()}")
            time.sleep(0.05)
        return process

    target = "grpc://127.0.0.1:18170"
    server = serve()
    try:
        flags = ["--rate", "2MiB", "--seconds", "5", "--target", target, "--server-pid", str(server.pid)]
        kept = loadtest.run(*flags, "--topics", "2", "--keep-topics", "--metrics", "http://127.0.0.1:18171/metrics")
        right(kept)
        check(sum(kept["server"]["requests"].values()) > 0, "the bucket's requests were not counted")
        check(kept["cost"]["month_usd"] == 0, f"a folder was charged for: {kept['cost']}")
        for watched, expected in [("--metrics=127.0.0.1:1", "nobody shows metrics"), ("--server-pid=4194303", "no such process")]:
            check(expected in loadtest("run", "--target", target, watched, status=2), watched)
        gone = loadtest.run(*flags)
        server.kill()
        server.wait()
        server = serve()
        said = loadtest("verify", str(kept["out"]), "--target", target)
        check(f"right: {kept['checks']['acked']} records" in said, said)
        check("--keep-topics" in loadtest("verify", str(gone["out"]), "--target", target, status=2), "deleted topics")
        # A record that claims more than there is: the reading finds it missing.
        record = kept["out"] / "record.ndjson"
        lines = record.read_text().splitlines()
        more = json.loads(lines[1])
        lane = more["lanes"][0]
        lane["acked"][-1][1] += 1
        record.write_text("\n".join([lines[0], json.dumps(more), *lines[2:]]) + "\n")
        said = loadtest("verify", str(kept["out"]), "--target", target, status=1)
        check("lost: 1" in said, said)
        record.write_text("\n".join(lines[:3]) + "\n")
        check("cut off" in loadtest("verify", str(kept["out"]), "--target", target, status=2), "a record cut off")
        said = loadtest("compare", f"{kept['out']}=first", f"{gone['out']}=second", "--out", "compare.html")
        check((loadtest.work / "compare.html").stat().st_size > 1_000, said)
        record.write_text("\n".join(lines) + "\n")
        server.kill()
        server.wait()
        with flipped(bucket):
            server = serve()
            said = loadtest("verify", str(kept["out"]), "--target", target, status=1)
            print(said)
            lost = int(re.search(r"lost: (\d+)", said)[1])
            check(0 < lost < kept["checks"]["acked"], said)
            server.kill()
            server.wait()
        server = serve()
        loadtest("verify", str(kept["out"]), "--target", target)
        # One topic of two, and then both.
        for at, topic in enumerate(json.loads(lines[0])["topics"], start=1):
            subprocess.run([folder / "eagre", "topic", "delete", topic, "--endpoint", "http://127.0.0.1:18170"], check=True)
            said = loadtest("verify", str(kept["out"]), "--target", target, status=1)
            lost = kept["checks"]["acked"] * at // 2
            check(f"lost: {lost} " in said and f"{8 * at} of 16 partitions" in said, said)
    finally:
        server.kill()
        server.wait()


def kafka(loadtest: LoadTest):
    script, data = Path(__file__).resolve().parent.parent / "loadtest/peers/kafka", loadtest.work / "kafka"
    subprocess.run([script, "install"], check=True)

    def start() -> str:
        return subprocess.check_output([script, "start", "--port", "18172", "--data", data], text=True).strip()

    pid = start()
    try:
        target = ["--target", "kafka://127.0.0.1:18172", "--set", "scale_to=10s"]
        # Its times are another project's, on whatever machine this is.
        for scenario in ["steady", "hot-key", "catch-up-storm"]:
            arguments = [scenario, *target, "--server-pid", pid, "--out", str(loadtest.work / scenario)]
            said = loadtest("run", *arguments, status=None)
            print(said)
            right(loadtest.result(loadtest.work / scenario), by_bounds=False)
    finally:
        subprocess.run([script, "stop", "--data", data], check=True)
    said = loadtest("run", "steady", *target, status=2)
    check("nobody answers" in said or "nobody listens" in said, said)


def typed_wrong(loadtest: LoadTest):
    bad = loadtest.work / "bad.toml"
    cases = [
        (["run", "stedy"], "step-10x"),
        (["run", "steady", "--target", "grpc://127.0.0.1:1"], "nobody listens"),
        (["run", "steady", "--target", "http://127.0.0.1:1"], "grpc://host:port"),
        (["run", "restart", "--target", "grpc://127.0.0.1:1"], "leave --target out"),
        (["run", "steady", "--set", "stages.0.rate=-1"], "stages.0.rate"),
        (["run", "steady", "--set", "producers.cuont=1"], "did you mean `count`"),
        (["run", "--rate", "0"], "--rate"),
        (["run", "--seconds", "-1"], "--seconds"),
        (["run", "--server-pid", "1"], "are for a --target"),
        (["run", "--dev=--nonsense", "--seconds", "1"], "unexpected argument '--nonsense'"),
        (["run", "bad.toml"], "bad.toml"),
        (["show", "stedy"], "steady"),
        (["run", "--target", "grpc://127.0.0.1:1", "--metrics", "https://127.0.0.1:1"], "host:port"),
        (["compare", ".", "."], "no whole run"),
        (["verify", ".", "--target", "grpc://127.0.0.1:1"], "no folder of a run"),
        (["find-limit", "--bound", "p42=1s"], "p99=100ms"),
        (["faults", "no-such"], "drop-on-read"),
    ]
    bad.write_text('about = "x"\nspeed = 3\n')
    before = set(loadtest.work.iterdir())
    for arguments, expected in cases:
        said = loadtest(*arguments, status=2)
        check(expected in said, f"{arguments}: {said}")
        check("panicked" not in said, said)
    left = set(loadtest.work.iterdir()) - before
    check(not left, f"left behind: {left}")
    print(f"{len(cases)} wrong commands are told so")


def main():
    folder = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as work:
        loadtest = LoadTest(folder, Path(work))
        if sys.argv[2:] == ["--kafka"]:
            kafka(loadtest)
            return
        names = [line.split()[0] for line in loadtest("scenarios").splitlines()]
        check(len(names) >= 12, f"scenarios: {names}")
        for name in names:
            (loadtest.work / f"{name}.toml").write_text(loadtest("show", name))
        typed_wrong(loadtest)
        print(loadtest("faults"))
        step_10x(loadtest)
        restart(loadtest)
        shapes(loadtest)
        interrupted(loadtest, ["steady"])
        # Consumers that are still to come, and are behind.
        interrupted(loadtest, ["catch-up-storm", "--set", "scale_to=8s"])
        later(loadtest, folder)


if __name__ == "__main__":
    main()
