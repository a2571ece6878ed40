#!/usr/bin/env python3
"""House rules that no compiler checks: which crate may know which, sizes of files, leftovers, broken links.

Prints one line per finding and ends with status 1 when there are any.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 700
MAX_BYTES = 1 << 20

# A heavy or dangerous crate and those of ours that may use it outside tests. Everyone else goes through them.
FENCES = {
    "slatedb": {"eagre-metadata"},
    "foyer": {"eagre-cache"},
    "clap": {"eagre", "eagre-loadtest"},
    "anyhow": {"eagre", "eagre-loadtest", "eagre-sim"},
    # Checksums and generated messages: the load test's are not the service's, so that one bug cannot hide the other.
    "crc32c": {"eagre-loadtest", "eagre-faults"},
    "crc-fast": {"eagre-model", "eagre-metadata"},
    "eagre-loadtest-stubs": {"eagre-loadtest", "eagre-faults"},
    "rdkafka": {"eagre-loadtest"},
    "turmoil": {"eagre-sim"},
    "axum": {"eagre-runtime"},
    "metrics-exporter-prometheus": {"eagre-runtime"},
    "procfs": {"eagre-runtime"},
    "pprof": {"eagre-runtime"},
    "opentelemetry": {"eagre"},
    "opentelemetry-otlp": {"eagre"},
    "opentelemetry_sdk": {"eagre"},
    "tracing-opentelemetry": {"eagre"},
    "tracing-subscriber": {"eagre", "eagre-sim"},
    # A service is a library; only the runtime wires services together, and the simulation where it parts them.
    "eagre-sequencer": {"eagre-runtime", "eagre-sim"},
    "eagre-gateway": {"eagre-runtime", "eagre-sim"},
    "eagre-runtime": {"eagre", "eagre-sim"},
}

# Which rooms a room's crates may use outside tests, besides the room itself.
ROOMS = {
    "storage": set(),
    "proto": set(),
    "services": {"storage", "proto"},
    # Not even the generated code of proto: it generates its own from the same files.
    "loadtest": set(),
}
# The simulation judges its histories with the load test's judge.
ROOM_EXCEPTIONS = {("eagre-sim", "eagre-verify")}

# What a text file may not contain, and where that is looked for.
LEFTOVERS = [
    (r"#!?\[allow\(", ".rs", "take #[expect(..., reason = ...)]"),
    (r"\b(TODO|FIXME|XXX|HACK)\b", ".rs .toml .proto .py .sh .md", "finish it or file an issue"),
    (r"\b(todo|unimplemented|dbg)!\(", ".rs", "finish it"),
    (r"#\[ignore\]", ".rs", "an ignored test says why: #[ignore = \"...\"]"),
    (r"unbounded_channel\(|sync::mpsc::channel\(\)", ".rs", "every queue is bounded"),
    (r"(/root|/home/\w+)/", ".rs .toml .md .sh .py .proto", "a path of one machine"),
]


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def crates() -> dict[str, dict]:
    metadata = json.loads(run("cargo", "metadata", "--format-version", "1", "--no-deps"))
    return {package["name"]: package for package in metadata["packages"]}


def room(package: dict) -> str:
    return Path(package["manifest_path"]).relative_to(ROOT).parts[0]


def edges(packages: dict[str, dict]):
    """What each of our crates uses outside tests."""
    for name, package in packages.items():
        for dependency in package["dependencies"]:
            if dependency["kind"] != "dev":
                yield name, dependency["name"]


def crate_findings(packages: dict[str, dict]):
    for name, used in edges(packages):
        allowed = FENCES.get(used)
        if allowed is not None and name not in allowed:
            yield f"{name} uses {used}, which only {', '.join(sorted(allowed))} may"
        if used not in packages or (name, used) in ROOM_EXCEPTIONS:
            continue
        mine, theirs = room(packages[name]), room(packages[used])
        if mine != theirs and theirs not in ROOMS.get(mine, set()):
            yield f"{name} ({mine}) uses {used} ({theirs}): edges go services -> storage -> nothing of ours"
    for name, package in packages.items():
        manifest = Path(package["manifest_path"]).read_text()
        if "[lints]\nworkspace = true" not in manifest:
            yield f"{name}: the workspace's lints are not taken"
    # Development dependencies: the load test stays an independent client in its tests as well.
    for name, package in packages.items():
        for dependency in package["dependencies"] if room(package) == "loadtest" else []:
            used = dependency["name"]
            if used == "crc-fast" or used in packages and room(packages[used]) != "loadtest":
                yield f"{name} uses {used}: the load test shares nothing with the service but the files of proto"


def tracked() -> list[Path]:
    return [ROOT / name for name in run("git", "ls-files", "-z").split("\0") if name and (ROOT / name).is_file()]


def file_findings(files: list[Path]):
    for path in files:
        name, size = path.relative_to(ROOT), path.stat().st_size
        if size > MAX_BYTES:
            yield f"{name}: {size} bytes; data is made, not committed"
            continue
        if path.suffix not in (".rs", ".toml", ".proto", ".py", ".sh", ".md"):
            continue
        text = path.read_text()
        lines = text.splitlines()
        if path.suffix == ".rs" and len(lines) > MAX_LINES:
            yield f"{name}: {len(lines)} lines; where is the seam?"
        if path == Path(__file__):
            continue
        for pattern, suffixes, advice in LEFTOVERS:
            if path.suffix not in suffixes.split():
                continue
            for number, line in enumerate(lines, 1):
                if re.search(pattern, line):
                    yield f"{name}:{number}: {line.strip()[:80]}: {advice}"
        if path.suffix == ".md":
            yield from link_findings(path, text)


def link_findings(path: Path, text: str):
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and not (path.parent / target).exists():
            yield f"{path.relative_to(ROOT)}: the link to {target} leads nowhere"


def main() -> int:
    packages, files = crates(), tracked()
    findings = [*crate_findings(packages), *file_findings(files)]
    for finding in findings:
        print(finding)
    print(f"{len(packages)} crates, {len(files)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
