#!/usr/bin/env python3
"""What operators load, in a real Prometheus over a real `eagre dev` under a small load.

Takes the folder that holds the `eagre` binary. Checks: `promtool` accepts configuration and rules; every alert has a test that it
fires and one that it does not, and a chapter in docs/operations.md; every panel of the dashboard has a unit, a description and the
data source variable; every expression knows only metrics of docs/metrics.md, and gives data; every rule is evaluated without an
error; no alert fires on a healthy service, and the first one goes off when it dies; the profile can be read.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "eagre.json"
PROMETHEUS = DEPLOY / "prometheus"
# Everything that is waited for comes within seconds, or not at all.
BOUND_SECONDS = 60
# What a dashboard's variables stand for.
VARIABLES = {"$__rate_interval": "30s", "$__interval": "1s", "$job": ".*"}
WORDS = re.compile(r"\b(?:eagre|process|job:eagre)_\w+(?::\w+)?\b|\bup\b")


def say(what: str):
    print(what, flush=True)


def wait_until(what: str, condition):
    began = time.monotonic()
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() - began > BOUND_SECONDS:
            raise SystemExit(f"not within {BOUND_SECONDS} s: {what}")
        time.sleep(0.2)


def get(url: str, timeout: float = 30) -> bytes | None:
    """The body, or None while nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        return error.read() if error.code == 400 else None
    except OSError:
        return None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def process(*command, **options):
    child = subprocess.Popen([str(part) for part in command], **options)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def metrics_known() -> set[str]:
    names = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    if len(names) < 30:
        raise SystemExit("docs/metrics.md: the table is gone")
    return names


def rules(kind: str) -> dict[str, str]:
    """Names and expressions of all rules of a kind, `record` or `alert`, in their order."""
    found = {}
    for file in ("rules.yml", "alerts.yml"):
        text = (PROMETHEUS / file).read_text()
        pattern = rf"- {kind}: (\S+)\n(?: +#.*\n)* +expr: (?:\|\n((?:          .*\n)+)|(.*)\n)"
        found |= {name: block or line for name, block, line in re.findall(pattern, text)}
    if not found:
        raise SystemExit(f"no {kind} rules in {PROMETHEUS}")
    return found


def check_names(where: str, expression: str, known: set[str]) -> list[str]:
    words = set(WORDS.findall(expression))
    if not words:
        return [f"{where}: no metric in {expression}"]
    # A histogram's series have suffixes; the name of a gauge may end like one.
    strangers = [word for word in sorted(words) if not {word, re.sub(r"_(bucket|sum|count)$", "", word)} & known]
    return [f"{where}: {word} is no metric of docs/metrics.md" for word in strangers]


def panels() -> list[dict]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def structure() -> list[str]:
    """What can be said without running anything."""
    findings = []
    known = metrics_known() | set(rules("record")) | {"up"}
    operations = (ROOT / "docs" / "operations.md").read_text()
    tests = (PROMETHEUS / "alerts_test.yml").read_text()
    for name, expression in (rules("record") | rules("alert")).items():
        findings += check_names(name, expression, known)
    for alert in rules("alert"):
        if not re.search(rf"^### {alert}$", operations, re.MULTILINE):
            findings.append(f"{alert}: docs/operations.md has no chapter '### {alert}' that says what to do")
        for outcome in ("fires", "is quiet"):
            if f"- name: {alert} {outcome}\n" not in tests:
                findings.append(f"alerts_test.yml: there is no test '{alert} {outcome}'")
    ids = [panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    if len(ids) != len(set(ids)):
        findings.append("eagre.json: two panels have one id")
    for panel in panels():
        where = f"eagre.json: {panel['title']}"
        if panel["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            findings.append(f"{where}: the data source is not the variable ${{datasource}}")
        if not panel["fieldConfig"]["defaults"].get("unit"):
            findings.append(f"{where}: no unit")
        if not panel.get("description"):
            findings.append(f"{where}: no description")
        for target in panel["targets"]:
            if target["datasource"] != panel["datasource"]:
                findings.append(f"{where}: a query has another data source")
            findings += check_names(where, target["expr"], known)
    return findings


def promtool():
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, check=True)


class Prometheus:
    """The HTTP API of a running one."""

    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters):
        body = get(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        if body is None:
            return None
        answer = json.loads(body)
        if answer["status"] != "success":
            raise SystemExit(f"{parameters}: {answer['error']}")
        return answer["data"]

    def values(self, expression: str) -> list[float]:
        data = self.ask("query", query=expression)
        return [float(series["value"][1]) for series in data["result"]] if data else []

    def alert_states(self) -> dict[str, str]:
        groups = (self.ask("rules") or {"groups": []})["groups"]
        return {rule["name"]: rule["state"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}

    def rule_errors(self) -> list[str]:
        groups = (self.ask("rules") or {"groups": []})["groups"]
        evaluated = [rule for group in groups for rule in group["rules"]]
        if len(evaluated) != len(rules("record")) + len(rules("alert")):
            return ["not all rules are there"]
        return [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in evaluated if rule["health"] != "ok"]


def filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def check_profile(http: str, folder: Path):
    """Both forms of a profile under load. A quick binary may be asleep whenever a sample is due: then it is asked again."""

    def stacks() -> list[str]:
        folded = get(f"{http}/debug/pprof/profile?seconds=2&format=folded", timeout=90) or b""
        return re.findall(r"^tokio-rt-worker;.+ \d+$", folded.decode(), re.MULTILINE)

    def top() -> str | None:
        path = folder / "profile"
        path.write_bytes(get(f"{http}/debug/pprof/profile?seconds=2", timeout=90) or b"")
        read = subprocess.run(["go", "tool", "pprof", "-top", path], check=False, capture_output=True, text=True)
        return read.stdout if "Type: cpu" in read.stdout and "Showing nodes" in read.stdout else None

    found = wait_until("a profile with stacks of workers", stacks)
    wait_until("a profile that go tool pprof reads", top)
    say(f"profile: {len(found)} stacks")


def live(eagre: Path, folder: Path):
    grpc, http, port = free_port(), free_port(), free_port()
    config = (PROMETHEUS / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:8071", f"127.0.0.1:{http}").replace("15s", "1s")
    for file in ("rules.yml", "alerts.yml"):
        config = config.replace(f"- {file}", f"- {PROMETHEUS / file}")
    (folder / "prometheus.yml").write_text(config)
    endpoint = ["--endpoint", f"http://127.0.0.1:{grpc}"]
    arguments = ["--bucket", folder / "bucket", "--grpc", f"127.0.0.1:{grpc}", "--http", f"127.0.0.1:{http}", "--debug-endpoints"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        process(eagre, "dev", *arguments, **quiet) as server,
        process(
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}", **quiet,
        ),
    ):
        prometheus = Prometheus(port)
        wait_until("eagre is ready", lambda: get(f"http://127.0.0.1:{http}/readyz"))
        subprocess.run([eagre, "topic", "create", "t", *endpoint], check=True, **quiet)
        # Every expression wants a rate, so the load goes on while they are looked at: 2,000 records a second for two minutes.
        lines = subprocess.Popen(["seq", "240000"], stdout=subprocess.PIPE)
        # Small ones go inside of their commits; these are uploaded.
        large_lines = subprocess.Popen([sys.executable, "-c", "for _ in range(480): print('x' * 200_000)"], stdout=subprocess.PIPE)
        with (
            process(eagre, "produce", "t", "--rate", "2000", *endpoint, stdin=lines.stdout, **quiet),
            process(eagre, "produce", "t", "--rate", "4", *endpoint, stdin=large_lines.stdout, **quiet),
            process(eagre, "consume", "t", *endpoint, **quiet),
        ):
            wait_until("the target is up", lambda: prometheus.values('up{job="eagre"}') == [1.0])
            for panel in panels():
                # Some panels show what is refused, and only while anything is.
                subprocess.run([eagre, "topic", "describe", "nobody", *endpoint], check=False, **quiet)
                for target in panel["targets"]:
                    wait_until(f"{panel['title']}: data for {target['expr']}", lambda: prometheus.values(filled(target["expr"])))
            for name in rules("record"):
                wait_until(f"{name}: a value", lambda: prometheus.values(name))
            for expression in rules("alert").values():
                prometheus.values(expression)
            wait_until("all rules are well", lambda: not prometheus.rule_errors())
            say(f"dashboard: {sum(len(panel['targets']) for panel in panels())} expressions give data")
            noisy = {name for name, state in prometheus.alert_states().items() if state != "inactive"}
            if noisy:
                raise SystemExit(f"alerts on a healthy service: {', '.join(sorted(noisy))}")
            check_profile(f"http://127.0.0.1:{http}", folder)
        for source in (lines, large_lines):
            source.kill()
            source.wait()
        server.send_signal(signal.SIGKILL)
        wait_until("EagreDown goes off", lambda: prometheus.alert_states().get("EagreDown") in ("pending", "firing"))
        say("alerts: quiet on a healthy service, EagreDown goes off when it dies")


def main() -> int:
    eagre = Path(sys.argv[1]).resolve() / "eagre"
    if not eagre.is_file():
        say(f"{eagre} is missing: cargo build --release")
        return 1
    findings = structure()
    for finding in findings:
        say(finding)
    if findings:
        return 1
    promtool()
    with tempfile.TemporaryDirectory(prefix="eagre-observability-") as folder:
        live(eagre, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
