"""Typer commands that start without pydantic, which Typer 0.29 loads to make text of text: that takes as long as Typer does."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class AsTyped:
    """Takes what stands on the command line as it stands; `config` makes values of it."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The text itself; of a flag that may come several times a list."""
        several = param.multiple or param.nargs == -1
        return list(value or ()) if several else value


class Light:
    """A command or group whose parameters are taken as they are typed."""

    def get_params(self, ctx: Any) -> Any:
        """Its parameters, the help option among them."""
        parameters = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            parameter._runtime_param = AsTyped()  # other versions never ask for it
        return parameters


class LightCommand(Light, TyperCommand):
    """A single command."""
