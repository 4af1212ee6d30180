"""``vaas …``: a table of commands, one function each."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from vaas import __version__, cli_launch, cli_publish, cli_run, cli_search

__all__ = ["COMMANDS", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vaas <command> …`` and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_usage())
        return 0
    if words[0] in {"-V", "--version"}:
        print(f"vaas {__version__}")
        return 0
    command = COMMANDS.get(words[0])
    if command is None:
        print(f"There is no “vaas {words[0]}”.\n\n{_usage()}", file=sys.stderr)
        return 2
    return command[1](words)


def control(words: Sequence[str]) -> int:
    """Hand over to the hub service, which this package never imports; the process is replaced."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "hub_service.control", *words])


def publish(words: Sequence[str]) -> int:
    """Check and publish a notebook or a folder."""
    parser = argparse.ArgumentParser(prog="vaas publish", description="Check a notebook and publish it as an app.")
    cli_publish.add_publish(parser)
    return cli_publish.run_publish(parser.parse_args(list(words)[1:]))


def run(words: Sequence[str]) -> int:
    """Run a notebook once, or over a table of values."""
    parser = argparse.ArgumentParser(prog="vaas run", description="Run a notebook with values for its parameters.")
    cli_run.add_run(parser)
    return cli_run.run_run(parser.parse_args(list(words)[1:]))


def launch(words: Sequence[str]) -> int:
    """Launch a JupyterLab, or stop one."""
    parser = argparse.ArgumentParser(prog="vaas launch", description="Launch a JupyterLab of your own.")
    cli_launch.add_launch(parser)
    return cli_launch.run_launch(parser.parse_args(list(words)[1:]))


def search(words: Sequence[str]) -> int:
    """Search the portal and its catalogs."""
    # No -h: “-history” is a word that must not be there.
    parser = argparse.ArgumentParser(
        prog="vaas search", description="Search apps and what else the portal knows.", add_help=False
    )
    parser.add_argument("--help", action="help", help="show this and end")
    cli_search.add_search(parser)
    options, more = parser.parse_known_args(list(words)[1:])
    if unknown := [word for word in more if word.startswith("--")]:
        parser.error(f"there is no option {unknown[0]}")
    return cli_search.run_search(options, more)


#: command → what it does, and the function that gets the command and all words after it.
COMMANDS: Mapping[str, tuple[str, Callable[[Sequence[str]], int]]] = {
    "up": ("start the portal on this machine", control),
    "publish": ("check a notebook or a folder and publish it as an app", publish),
    "run": ("run a notebook with values for its parameters, and wait for the result", run),
    "launch": ("launch an app, a notebook or a basket in JupyterLab; --stop ends it", launch),
    "search": ("search apps and files, here and in other catalogs", search),
    "index": ("make the search index anew; --sweep: look through the stores", control),
    "doctor": ("look at all that the portal needs, and say what to do", control),
    "down": ("stop it; the data stays", control),
    "status": ("say whether it runs, and where", control),
}


def _usage() -> str:
    lines = [f"  {name:<10} {words}" for name, (words, _) in COMMANDS.items()]
    return "\n".join(["usage: vaas <command> …   (vaas <command> --help says more)", "", *lines])
