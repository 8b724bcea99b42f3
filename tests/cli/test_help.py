"""Help: one line what, one line when, two examples that parse, the environment; and every command is there."""

import re
import shlex
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
import typer

from migrator.cli.app import COMMANDS
from tests.cli.conftest import Cli

WHERE = {name: f"migrator.cli.{name.replace('-', '_')}" for name in COMMANDS}
MODULES = {name: import_module(module) for name, module in WHERE.items() if find_spec(module)}


def leaves() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, module in MODULES.items():
        command = typer.main.get_command(module.app)
        children = getattr(command, "commands", None)
        if children:
            found |= {f"{name} {child}": entry for child, entry in children.items()}
        else:
            found[name] = command
    return found


LEAVES = leaves()


def test_every_command_has_its_module() -> None:
    assert list(MODULES) == list(COMMANDS)


def test_root_help_lists_every_command(cli: Cli) -> None:
    ran = cli("--help")
    assert ran.status == 0
    for name, summary in COMMANDS.items():
        assert name in ran.out
        assert summary in ran.out


@pytest.mark.parametrize("name", MODULES)
def test_summary_in_the_list_is_the_commands_own_first_line(name: str) -> None:
    command = typer.main.get_command(MODULES[name].app)
    assert (command.help or "").splitlines()[0].rstrip(".:").startswith(COMMANDS[name].rstrip("."))


@pytest.mark.parametrize("name", LEAVES)
def test_help_says_what_when_examples_and_environment(cli: Cli, name: str) -> None:
    ran = cli(*name.split(), "--help")
    assert ran.status == 0
    paragraphs = [part for part in (LEAVES[name].help or "").split("\n\n") if part.strip()]
    assert len(paragraphs) >= 4
    assert "Environment:" in ran.out
    assert len(examples(name)) >= 2
    for option in ("--json", "--quiet", "--verbose", "--no-color", "--config"):
        assert option in ran.out


@pytest.mark.parametrize("name", LEAVES)
def test_examples_parse(name: str) -> None:
    for example in examples(name):
        words = shlex.split(re.split(r" [|>] ", example)[0])
        assert words[: 1 + len(name.split())] == ["migrator", *name.split()]
        LEAVES[name].make_context(name, words[1 + len(name.split()) :], resilient_parsing=False)


@pytest.mark.parametrize("arguments", [(), ("schema",), ("gate",)])
def test_nothing_to_do_shows_the_help(cli: Cli, arguments: tuple[str, ...]) -> None:
    ran = cli(*arguments)
    assert ran.status == 2
    assert "Usage:" in ran.out + ran.err
    assert "error:" not in ran.err


def test_version(cli: Cli) -> None:
    ran = cli("--version")
    assert ran.status == 0
    assert ran.out.startswith("kafka-to-postgres ")


def examples(name: str) -> list[str]:
    lines = (LEAVES[name].help or "").splitlines()
    return [line.strip().removeprefix("- ") for line in lines if line.strip().startswith("- migrator ")]
