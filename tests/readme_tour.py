#!/usr/bin/env python3
"""Runs the tour of the README, and of pages like it, against a cluster of its own.

Every fenced `sh` block of a page is run by one bash with -e and pipefail, in order. A line `#=> TEXT` claims that
TEXT, after the shell has expanded its variables, is part of what the commands since the last such line have printed.
Standard library only.
"""

import argparse
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
TOUR_SECONDS = 180
STOP_SECONDS = 20
PAGES = ["README.md", "docs/access.md", "docs/libraries.md"]


def blocks(markdown):
    """The fenced sh blocks, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", markdown, flags=re.MULTILINE | re.DOTALL)


def script(page, tour):
    """One bash script out of all blocks, with a check for each claim."""
    parts = ["set -euo pipefail\n"]
    commands, count = [], 0
    for line in "".join(tour).splitlines():
        if not line.startswith("#=> "):
            commands.append(line)
            continue
        count += 1
        shown = "\n".join(commands)
        parts.append(
            f"echo {quoted(shown)} >&2\n"
            f"{{\n{shown}\n}} > output.{count}\n"
            f"cat output.{count} >&2\n"
            f"claim=$(cat <<CLAIM\n{line[4:]}\nCLAIM\n)\n"
            f'grep -qF -- "$claim" output.{count} || {{ echo "{page} claims: $claim" >&2; exit 1; }}\n'
        )
        commands = []
    if commands:
        parts.append("\n".join(commands) + "\n")
    return "".join(parts), count


def quoted(text):
    """A word for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def start_demo(starling, folder):
    """Starts the cluster and returns its process and what it announces."""
    demo = subprocess.Popen(
        [starling, "demo", "--json", "--empty", "--nodes", "3", "--dir", str(folder / "cluster"), "--port", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=open(folder / "demo.log", "wb"),
        start_new_session=True,
    )
    ready, _, _ = select.select([demo.stdout], [], [], START_SECONDS)
    line = demo.stdout.readline() if ready else b""
    if not line:
        stop(demo)
        sys.exit("the demo announced nothing:\n" + (folder / "demo.log").read_text(errors="replace"))
    return demo, json.loads(line)


def environment(announced, starling):
    """What the pages ask their reader to set."""
    variables = dict(os.environ, TOKEN=announced["token"], URL=announced["nodes"][0]["url"].rstrip("/"))
    for number, node in enumerate(announced["nodes"], start=1):
        variables[f"URL{number}"] = node["url"].rstrip("/")
        variables[f"PID{number}"] = str(node["pid"])
        variables[f"CONFIG{number}"] = node["config"]
    variables["PATH"] = f"{Path(starling).parent}{os.pathsep}{variables['PATH']}"
    return variables


def run_tour(page, tour, variables, folder):
    """Runs the script; whatever it has left running is ended."""
    text, count = script(page, tour)
    process = subprocess.Popen(
        ["bash", "-c", text], cwd=folder, env=variables, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        status = process.wait(timeout=TOUR_SECONDS)
    except subprocess.TimeoutExpired:
        status = f"no end within {TOUR_SECONDS} s"
    end_group(process.pid)
    return status, count


def end_group(group):
    """Ends what is left of a process group that we have started."""
    try:
        os.killpg(group, signal.SIGTERM)
    except ProcessLookupError:
        pass


def stop(demo):
    """What Ctrl-C does, and no mercy afterwards."""
    demo.send_signal(signal.SIGINT)
    try:
        demo.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(demo.pid, signal.SIGKILL)
        demo.wait()


def main():
    """Runs everything; the exit code says whether the pages are true."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starling", required=True, help="the program to tour")
    starling = os.path.abspath(parser.parse_args().starling)
    tours = {page: blocks((ROOT / page).read_text(encoding="utf-8")) for page in PAGES}
    empty = [page for page, tour in tours.items() if not tour]
    if empty:
        sys.exit(f"no sh blocks in {empty}")
    folder = Path(tempfile.mkdtemp(prefix="starling-tour-"))
    try:
        demo, announced = start_demo(starling, folder)
        try:
            variables = environment(announced, starling)
            for page, tour in tours.items():
                status, count = run_tour(page, tour, variables, folder)
                if status != 0:
                    sys.exit(f"the tour of {page} failed ({status})")
                print(f"{page}: {len(tour)} blocks run, {count} claims hold")
        finally:
            stop(demo)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
