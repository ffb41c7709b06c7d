"""`epiverb config`: the settings of a command as YAML, each with its documentation."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from epiverb.cli.commands import COMMANDS
from epiverb.config import field_docs, field_types, plain
from epiverb.errors import ConfigError, nearest
from epiverb.registry import resolve


def show_config(config: Any) -> dict[str, str]:
    """The settings of a command with their defaults, as YAML under the key `yaml`."""
    command = " ".join(config.command)
    if command not in COMMANDS:
        raise ConfigError(f"unknown command {command!r}.{nearest(command, COMMANDS)}")
    return {"command": command, "yaml": "".join(_lines(resolve(COMMANDS[command].config)))}


def _lines(cls: Any, indent: str = "") -> list[str]:
    """Each field as a comment and a line; a group of settings as its fields, further in."""
    from yaml import safe_dump

    docs, hints, lines = field_docs(cls), field_types(cls), []
    for field in dataclasses.fields(cls):
        default = (
            field.default_factory()
            if field.default is dataclasses.MISSING and callable(field.default_factory)
            else field.default
        )
        lines.append(f"{indent}# {docs.get(field.name, '')}\n")
        if dataclasses.is_dataclass(hints[field.name]):
            lines += [f"{indent}{field.name}:\n", *_lines(hints[field.name], indent + "  ")]
        elif default is dataclasses.MISSING:
            lines.append(f"{indent}# {field.name}:\n")
        else:
            text = safe_dump({field.name: plain(default)}, allow_unicode=True)
            lines += [f"{indent}{line}\n" for line in text.splitlines()]
    return lines


def print_config(result: dict[str, str]) -> None:
    """The YAML as it is."""
    sys.stdout.write(result["yaml"])
