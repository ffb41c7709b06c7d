"""The Typer application: each command is a config dataclass, a verb and a printer, all three named by strings."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import json
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from epiverb.cli.commands import COMMANDS, GROUPS, SHORT, Command
from epiverb.cli.complete import completion
from epiverb.cli.light import Light, LightCommand
from epiverb.config import choices, is_bool, is_dict, is_list, leaves, load, to_yaml
from epiverb.errors import Stopped
from epiverb.registry import resolve

_KINDS: Any = {"str | None": str | None, "list[str] | None": list[str] | None, "bool": bool}

COMMON = {
    "config": (
        "str | None",
        typer.Option("--config", "-c", metavar="FILE", help="Settings as YAML; flags override it."),
    ),
    "set": (
        "list[str] | None",
        typer.Option("--set", metavar="KEY=VALUE", help="Override one setting; dots reach nested ones."),
    ),
    "json": ("bool", typer.Option("--json", help="Print exactly one JSON document on stdout.")),
    "quiet": ("bool", typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")),
    "dry_run": ("bool", typer.Option("--dry-run", help="Say what would be done, and why, and do nothing.")),
}


class _Group(Light, TyperGroup):
    """The commands, each built when it is called: to make the flags of all of them takes longer than to print the help."""

    prefix = ""
    """The words before those of this group."""

    @classmethod
    def names(cls) -> dict[str, str]:
        """The next word of each command, with what it is for."""
        own = (name.removeprefix(cls.prefix).split()[0] for name in COMMANDS if name.startswith(cls.prefix))
        return {word: {**SHORT, **GROUPS}[cls.prefix + word] for word in own}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        name = self.prefix + cmd_name
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        if name in COMMANDS:
            says, examples = described(resolve(COMMANDS[name].config))
            register = alone.command(cmd_name, cls=LightCommand, short_help=SHORT[name], help=says, epilog=examples)
            register(_callback(COMMANDS[name]))
        elif name in GROUPS:
            within = type("Within", (_Group,), {"prefix": f"{name} "})
            alone.callback(cls=within, help=GROUPS[name], no_args_is_help=True)(lambda: None)
            _places(alone, within)
        else:
            return None
        return typer.main.get_command(alone)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.names().items()))


def described(cls: Any) -> tuple[str, str]:
    """What a config says of its command, and its lines `Example: COMMAND` as the section that stands behind the options."""
    lines = inspect.cleandoc(cls.__doc__).splitlines()
    examples = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    says = "\n".join(line for line in lines if not line.startswith("Example: "))
    return says.strip(), "\n".join(["\b", "Examples:", *(f"  {line}" for line in examples)])


def _places(group: typer.Typer, cls: type[_Group]) -> None:
    """A place for the name of each command of `group`, which `cls` builds when it is called."""
    for word in cls.names():
        group.command(word)(lambda: None)


app = typer.Typer(
    name="epiverb",
    cls=_Group,
    help="Measure what language models say about their own uncertainty while they reason.",
    epilog="\b\nStart with:\n  epiverb analyze traces.jsonl\n  epiverb analyze --help    # its settings, and examples",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("epiverb"))
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    pass


def _parameter(field: dataclasses.Field[Any], hint: Any, doc: str) -> inspect.Parameter:
    """The Typer parameter of one config field. Its default is None, so that a flag not given can be told from one given."""
    kind: Any = list[str] | None if is_list(hint) or is_dict(hint) else str | None
    meta = field.metadata
    flag = meta["flag"] or field.name.replace("_", "-")
    metavar = meta["metavar"] or "|".join(map(str, choices(hint))) or None
    offers = completion(field.name, hint)
    if meta["positional"]:
        extra: Any = typer.Argument(metavar=metavar, help=doc, show_default=False, autocompletion=offers)
    elif is_bool(hint):
        kind = bool | None
        extra = typer.Option(f"--{flag}/--no-{flag}", help=doc, show_default=False)
    else:
        names = [f"--{flag}", *([meta["short"]] if meta["short"] else [])]
        extra = typer.Option(*names, metavar=metavar, help=doc, show_default=False, autocompletion=offers)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, extra],
    )


def _callback(command: Command) -> Callable[..., None]:
    """The function that Typer calls for `command`, with a signature made from its config."""
    cls = resolve(command.config)
    settings = leaves(cls)
    paths = {path.rpartition(".")[2]: path for path in settings}
    parameters = [_parameter(*leaf) for leaf in settings.values()]
    for name, (kind, option) in COMMON.items():
        default = False if kind == "bool" else None
        annotation = Annotated[_KINDS[kind], option]
        parameters.append(
            inspect.Parameter(f"_{name}", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )

    def call(**given: Any) -> None:
        common = {name: given.pop(f"_{name}") for name in COMMON}
        flags = {paths[key]: value for key, value in given.items() if value not in (None, [])}
        config = load(cls, file=common["config"], sets=common["set"], flags=flags)
        try:
            execute(command, config, **{key: common[key] for key in ("json", "quiet", "dry_run")})
        except KeyboardInterrupt:
            raise Stopped("stopped.") from None  # Typer would end the command without a word

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def execute(command: Command, config: Any, *, json: bool, quiet: bool, dry_run: bool) -> None:
    """Run the verb of `command` and print what it returned."""
    if command.small_matrices:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported
    verb = resolve(command.verb)
    gc.freeze()
    gc.enable()
    takes = inspect.signature(verb).parameters
    options: dict[str, Any] = {}
    if "dry_run" in takes:
        options["dry_run"] = dry_run
    elif dry_run:
        print(to_yaml(config), end="")
        return
    if "say" in takes and not quiet:
        options["say"] = _say
    if "progress" in takes:
        with resolve(command.progress)("epiverb", quiet=quiet) as options["progress"]:
            result = verb(config, **options)
    else:
        result = verb(config, **options)
    if result is None:  # one of several processes, of which the first one speaks
        return
    if not quiet and command.notes:
        for line in resolve(command.notes)(result):
            _say(line)
    if json:
        print_json(resolve(command.document)(result) if command.document else result)
    else:
        resolve(command.printer)(result)
    sys.stdout.flush()
    if command.code and (code := resolve(command.code)(result)):
        raise typer.Exit(code)


def _say(line: str) -> None:
    """A line on stderr, from a verb that runs for long."""
    from epiverb.cli.terminal import printable

    print(f"epiverb: {printable(line)}", file=sys.stderr, flush=True)


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout, without NaN."""
    sys.stdout.write(json.dumps(document, ensure_ascii=True, allow_nan=False) + "\n")


_places(app, _Group)
