"""The Typer application: each command is a config dataclass, a verb and a printer, all three named by strings."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from epiverb.config import choices, field_docs, is_bool, is_dict, is_list, leaves, load, plain, to_yaml
from epiverb.errors import ConfigError, Stopped, nearest
from epiverb.registry import resolve


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: where its config, its verb and its printer are."""

    config: str
    verb: str
    printer: str
    """Called with what the verb returned; writes to stdout."""
    document: str = ""
    """Called with what the verb returned; gives the dict that --json prints. Empty: the verb returned it."""
    notes: str = ""
    """Called with what the verb returned; gives lines for stderr."""
    progress: str = "epiverb.cli.terminal:progress"
    """Context manager that gives the callback for a verb that takes `progress`."""


COMMANDS: dict[str, Command] = {
    "analyze": Command(
        "epiverb.configs.analyze:AnalyzeConfig",
        "epiverb.verbs.analyze:analyze",
        "epiverb.cli.summary:print_run",
        "epiverb.verbs.analyze:document",
        "epiverb.cli.summary:run_notes",
    ),
    "sample": Command(
        "epiverb.configs.sample:SampleConfig",
        "epiverb.verbs.sample:sample",
        "epiverb.cli.sampling:print_sample",
        "epiverb.verbs.sample:document",
        "epiverb.cli.sampling:notes",
        "epiverb.cli.sampling:progress",
    ),
    "eval": Command(
        "epiverb.configs.sample:EvalConfig",
        "epiverb.verbs.sample:evaluate",
        "epiverb.cli.sampling:print_eval",
        "epiverb.verbs.sample:document",
        "epiverb.cli.sampling:notes",
        "epiverb.cli.sampling:progress",
    ),
    "sft-data": Command(
        "epiverb.configs.sample:SftDataConfig",
        "epiverb.verbs.sft:sft_data",
        "epiverb.cli.sampling:print_sft",
        notes="epiverb.cli.sampling:sft_notes",
    ),
    "score": Command(
        "epiverb.configs.score:ScoreConfig",
        "epiverb.verbs.score:score",
        "epiverb.cli.scoring:print_scores",
        notes="epiverb.cli.scoring:notes",
        progress="epiverb.cli.sampling:progress",
    ),
    "validate": Command(
        "epiverb.configs.lexicons:ValidateConfig",
        "epiverb.verbs.lexicons:validate",
        "epiverb.cli.summary:print_validation",
    ),
    "compare": Command(
        "epiverb.configs.compare:CompareConfig",
        "epiverb.verbs.compare:compare",
        "epiverb.cli.comparison:print_comparison",
        notes="epiverb.cli.comparison:notes",
    ),
    "link": Command(
        "epiverb.configs.compare:LinkConfig",
        "epiverb.verbs.compare:link",
        "epiverb.cli.comparison:print_link",
        notes="epiverb.cli.comparison:notes",
    ),
    "plan": Command(
        "epiverb.configs.compare:PlanConfig",
        "epiverb.verbs.compare:plan",
        "epiverb.cli.comparison:print_plan",
        notes="epiverb.cli.comparison:notes",
    ),
    "grade": Command(
        "epiverb.configs.grade:GradeConfig",
        "epiverb.verbs.grade:grade",
        "epiverb.cli.grading:print_grades",
        notes="epiverb.cli.grading:notes",
    ),
    "show": Command("epiverb.configs.look:ShowConfig", "epiverb.verbs.look:show", "epiverb.cli.summary:print_trace"),
    "ls": Command("epiverb.configs.look:LsConfig", "epiverb.verbs.look:ls", "epiverb.cli.summary:print_listing"),
    "lexicon": Command(
        "epiverb.configs.lexicons:LexiconConfig", "epiverb.verbs.lexicons:lexicon", "epiverb.cli.summary:print_lexicon"
    ),
    "lab pretrain": Command(
        "epiverb.configs.lab:LabPretrainConfig",
        "epiverb.verbs.lab:pretrain",
        "epiverb.cli.lab:print_pretrained",
        progress="epiverb.cli.lab:progress",
    ),
    "config": Command(
        "epiverb.configs.look:PrintConfig", "epiverb.cli.app:show_config", "epiverb.cli.app:print_config"
    ),
}

_SHORT = {
    "analyze": "Trace files to markers, trajectories and a report.",
    "sample": "Responses to problems, with or without a context, graded and analysed.",
    "eval": "A model on benchmarks, as published.",
    "score": "What a model computes about a run's traces: entropy, information, pressure.",
    "sft-data": "Sets for fine-tuning from correct responses.",
    "compare": "What changed from one run to another.",
    "link": "Changes in markers against changes in accuracy.",
    "plan": "How many problems and samples a question needs.",
    "validate": "Precision and recall of a lexicon.",
    "grade": "Responses graded anew, beside the stored grades.",
    "show": "One trace with its markers coloured.",
    "ls": "Lexicons, formats, measures, tables.",
    "lexicon": "Check or show a lexicon.",
    "lab pretrain": "A base of the lab, from scratch.",
    "config": "The settings of a command as YAML.",
}

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

app = typer.Typer(
    name="epiverb",
    help="Measure what language models say about their own uncertainty while they reason.",
    epilog="Start with: epiverb analyze traces.jsonl",
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
    if meta["positional"]:
        extra: Any = typer.Argument(metavar=metavar, help=doc, show_default=False)
    elif is_bool(hint):
        kind = bool | None
        extra = typer.Option(f"--{flag}/--no-{flag}", help=doc, show_default=False)
    else:
        names = [f"--{flag}", *([meta["short"]] if meta["short"] else [])]
        extra = typer.Option(*names, metavar=metavar, help=doc, show_default=False)
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
    call.__doc__ = inspect.cleandoc(cls.__doc__)
    return call


def execute(command: Command, config: Any, *, json: bool, quiet: bool, dry_run: bool) -> None:
    """Run the verb of `command` and print what it returned."""
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
    if "progress" in takes:
        with resolve(command.progress)("epiverb", quiet=quiet) as options["progress"]:
            result = verb(config, **options)
    else:
        result = verb(config, **options)
    if not quiet and command.notes:
        from epiverb.cli.terminal import printable

        for line in resolve(command.notes)(result):
            print(f"epiverb: {printable(line)}", file=sys.stderr)
    if json:
        print_json(resolve(command.document)(result) if command.document else result)
    else:
        resolve(command.printer)(result)
    sys.stdout.flush()


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout, without NaN."""
    sys.stdout.write(json.dumps(document, ensure_ascii=True, allow_nan=False) + "\n")


def show_config(config: Any) -> dict[str, str]:
    """The settings of a command with their defaults, as YAML under the key `yaml`."""
    if config.command not in COMMANDS:
        raise ConfigError(f"unknown command {config.command!r}.{nearest(config.command, COMMANDS)}")
    cls = resolve(COMMANDS[config.command].config)
    docs, lines = field_docs(cls), []
    for field in dataclasses.fields(cls):
        default = (
            field.default_factory()
            if field.default is dataclasses.MISSING and callable(field.default_factory)
            else field.default
        )
        required = default is dataclasses.MISSING
        from yaml import safe_dump

        text = f"# {field.name}:\n" if required else safe_dump({field.name: plain(default)}, allow_unicode=True)
        lines.append(f"# {docs.get(field.name, '')}\n{text}")
    return {"command": config.command, "yaml": "".join(lines)}


def print_config(result: dict[str, str]) -> None:
    """The YAML as it is."""
    sys.stdout.write(result["yaml"])


_GROUPS = {"lab": "The small world in which the effect can be seen on a laptop."}
"""The first word of commands of two words."""

_PARENTS = {"": app}
for _word, _help in _GROUPS.items():
    _PARENTS[_word] = typer.Typer(help=_help, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(_PARENTS[_word], name=_word, short_help=_help)
for _name, _command in COMMANDS.items():
    _group, _, _last = _name.rpartition(" ")
    _PARENTS[_group].command(_last, short_help=_SHORT[_name])(_callback(_command))
