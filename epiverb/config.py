"""One dataclass configures a command: from defaults, then YAML, then flags. An unknown key is an error.

Fields are documented once, by a string under the field; `field_docs` reads it back for `--help` and the docs. Values that
arrive as text are turned into the field's type here, because PyYAML reads `5e-7` as a string and `on` as True.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
import typing
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from epiverb.errors import ConfigError, nearest

T = TypeVar("T")

_NOTHING = ("none", "null", "~", "")
_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def setting(
    default: Any = dataclasses.MISSING, *, short: str = "", metavar: str = "", positional: bool = False, flag: str = ""
) -> Any:
    """A dataclass field with what the command line needs to know of it.

    Args:
        default: the default; a list or dict is copied for each config. Left out, the field is required.
        short: a one-letter flag such as `-o`.
        metavar: what stands for the value in `--help`.
        positional: an argument instead of a flag.
        flag: name of the flag where it is not the field's own (`from` cannot be a field).
    """
    metadata = {"short": short, "metavar": metavar, "positional": positional, "flag": flag}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@cache
def field_docs(cls: Any) -> dict[str, str]:
    """Field name -> the string that stands under the field in the source of `cls`."""
    body, docs = _classes(inspect.getfile(cls))[cls.__name__].body, {}
    for above, below in pairwise(body):
        if isinstance(above, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[ast.unparse(above.target)] = inspect.cleandoc(str(below.value.value)).replace("\n", " ")
    return docs


@cache
def _classes(file: str) -> dict[str, ast.ClassDef]:
    """The classes of a file by name. `inspect.getsource` would read the file's tokens anew for each of them, and slowly."""
    nodes = ast.walk(ast.parse(Path(file).read_text("utf-8")))
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


@cache
def field_types(cls: Any) -> dict[str, Any]:
    """Field name -> resolved annotation."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def leaves(cls: Any) -> dict[str, tuple[dataclasses.Field[Any], Any, str]]:
    """Dotted path -> field, type and documentation of every setting; those of groups (nested dataclasses) in their place."""
    found = {}
    docs, hints = field_docs(cls), field_types(cls)
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[field.name]):
            found.update({f"{field.name}.{path}": leaf for path, leaf in leaves(hints[field.name]).items()})
        else:
            found[field.name] = (field, hints[field.name], docs.get(field.name, ""))
    return found


def is_list(hint: Any) -> bool:
    """Whether a field takes several values."""
    return typing.get_origin(_required(hint)) in (list, tuple)


def is_dict(hint: Any) -> bool:
    """Whether a field takes `key=value` pairs."""
    return typing.get_origin(_required(hint)) is dict


def is_bool(hint: Any) -> bool:
    """Whether a field is a switch."""
    return _required(hint) is bool


def choices(hint: Any) -> tuple[Any, ...]:
    """The allowed values of a `Literal` field, else nothing."""
    hint = _required(hint)
    return typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()


def _required(hint: Any) -> Any:
    """`X` of `X | None`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


def coerce(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint`; raises `ConfigError` naming `where`, the value and the type."""
    inner = _required(hint)
    if value is None or (value in _NOTHING and inner is not hint):
        if inner is hint:
            raise ConfigError(f"{where}: a value is needed.")
        return None
    if dataclasses.is_dataclass(inner):
        return build(typing.cast(type, inner), _mapping(value, where), where=where)
    if choices(inner):
        if value not in choices(inner):
            raise ConfigError(f"{where}: unknown value {value!r}.{nearest(str(value), map(str, choices(inner)))}")
        return value
    if is_list(inner):
        items = value if isinstance(value, (list, tuple)) else [value]
        element = typing.get_args(inner)[0]
        return typing.get_origin(inner)(coerce(item, element, where) for item in items)
    if is_dict(inner):
        element = typing.get_args(inner)[1]
        return {str(key): coerce(item, element, f"{where}.{key}") for key, item in _mapping(value, where).items()}
    return _scalar(value, inner, where)


def _scalar(value: Any, kind: Any, where: str) -> Any:
    if kind is bool and isinstance(value, str) and value.lower() in _BOOLS:
        return _BOOLS[value.lower()]
    if kind in (int, float) and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            exact = int(value) if isinstance(value, str) and value.strip("+-").isdecimal() else float(value)
            if kind is float or exact == int(exact):
                return kind(exact)
        except (ValueError, OverflowError):
            pass
    if kind is str and isinstance(value, (str, int, float, Path)) and not isinstance(value, bool):
        return str(value)
    if kind is Any or (kind is bool and isinstance(value, bool)):
        return value
    raise ConfigError(f"{where}: {value!r} is not {'an' if kind is int else 'a'} {kind.__name__}.")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    """A dict from a dict, or from `key=value` texts, each of which may hold several pairs divided by commas."""
    if isinstance(value, dict):
        return value
    pairs = [pair for item in ([value] if isinstance(value, str) else value) for pair in str(item).split(",")]
    if not all("=" in pair for pair in pairs):
        raise ConfigError(f"{where}: {', '.join(pairs)!r} is not of the form key=value.")
    return dict(tuple(part.strip() for part in pair.split("=", 1)) for pair in pairs)  # type: ignore[misc]


def build(cls: type[T], values: dict[str, Any], *, where: str = "") -> T:
    """A config of type `cls` from plain values.

    Args:
        where: prefix of messages: the file or flag that the values came from.

    Raises:
        ConfigError: an unknown key (suggests the nearest), a missing one, or a value of the wrong type.
    """
    hints, prefix = field_types(typing.cast(Any, cls)), f"{where}: " if where else ""
    for key in values:
        if key not in hints:
            raise ConfigError(f"{prefix}unknown key {key!r}.{nearest(str(key), hints)}")
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise ConfigError(f"{prefix}{field.name} is missing.")
    return cls(**{key: coerce(value, hints[key], f"{prefix}{key}") for key, value in values.items()})


def load(cls: type[T], *, file: str | None = None, sets: list[str] | None = None, flags: dict[str, Any]) -> T:
    """A config from defaults < YAML `file` < `sets` (`key=value`, dots for nesting) < `flags` that were given, by path."""
    values = _read_yaml(file) if file else {}
    for item in sets or []:
        path, sign, text = item.partition("=")
        if not sign:
            raise ConfigError(f"--set {item}: not of the form key=value.")
        _put(values, path.strip().replace("-", "_").split("."), text.strip(), f"--set {item}")
    known = leaves(cls)
    for path, value in flags.items():
        *groups, key = path.split(".")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[key] = _mapping(value, f"--{key}") if path in known and is_dict(known[path][1]) else value
    return build(cls, values, where=file or "")


def _read_yaml(file: str) -> dict[str, Any]:
    import yaml

    try:
        values = _parse(Path(file).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if values is not None and not isinstance(values, dict):
        raise ConfigError(f"{file}: holds a {type(values).__name__}, not key: value lines.")
    return {str(key).replace("-", "_"): value for key, value in (values or {}).items()}


def _parse(text: str) -> Any:
    """YAML with every scalar left as text: `coerce` knows which type is meant, YAML would take the key `on` for True."""
    import yaml

    return yaml.load(text, Loader=yaml.BaseLoader)


def _put(values: dict[str, Any], path: list[str], text: str, where: str) -> None:
    import yaml

    for key in path[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: {key!r} is not a group of settings.")
    try:
        values[path[-1]] = _parse(text)
    except yaml.YAMLError:
        values[path[-1]] = text


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain values, nested, in the order of its fields."""
    return dataclasses.asdict(config)


def to_yaml(config: Any) -> str:
    """The config as YAML that `load` reads back to the same config."""
    import yaml

    return yaml.safe_dump(plain(to_dict(config)), sort_keys=False, allow_unicode=True)


def plain(value: Any) -> Any:
    """`value` with lists for tuples and dicts for groups of settings, as YAML and JSON have them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
