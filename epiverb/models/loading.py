"""Models and tokenizers from a folder or hub name, each failure as one line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from epiverb.errors import EngineError, MissingExtra

CONNECT = 5.0
"""Seconds in which the hub must take a connection."""


def require(package: str, extra: str) -> Any:
    """The module `package`, imported; raises `MissingExtra` with the install command where it is not there."""
    from importlib import import_module

    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtra(package, extra) from error


def versions(*packages: str) -> dict[str, str]:
    """Package -> version, of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def load_tokenizer(model: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """The tokenizer of `model`."""
    transformers = require("transformers", "train")
    _check_folder(model)
    source = _source(model, revision)
    load = transformers.AutoTokenizer.from_pretrained
    with _quietly(transformers):
        tokenizer = _loaded(load, "tokenizer", source, revision=revision, trust_remote_code=trust_remote_code)
    # Without files transformers 5 makes an empty tokenizer of the model's kind, which turns every prompt into nothing.
    if not tokenizer.encode("a", add_special_tokens=False):
        raise EngineError(f"no tokenizer could be loaded from {model}; is it complete? (it has no vocabulary)")
    return tokenizer


def load_model(model: str, *, revision: str | None = None, trust_remote_code: bool = False, **options: Any) -> Any:
    """The causal language model in `model`, in evaluation mode. `options` go to `from_pretrained`."""
    transformers = require("transformers", "train")
    _check_folder(model)
    source = _source(model, revision)
    load = transformers.AutoModelForCausalLM.from_pretrained
    with _quietly(transformers):
        return _loaded(load, "model", source, revision=revision, trust_remote_code=trust_remote_code, **options).eval()


def template_hash(tokenizer: Any) -> str | None:
    """SHA-256 of the chat template: models are re-published with another one under the same name."""
    template = tokenizer.chat_template
    return hashlib.sha256(str(template).encode()).hexdigest() if template else None


def end_ids(tokenizer: Any, *configs: Any) -> frozenset[int]:
    """Every id that ends a response: all of the generation config's, the model config's where it has none, the tokenizer's."""
    found: set[int | None] = set()
    for config in configs:
        ids = getattr(config, "eos_token_id", None)
        found |= set(ids) if isinstance(ids, list | tuple) else {ids}
        if found - {None}:
            break
    return frozenset(i for i in (found | {tokenizer.eos_token_id}) if i is not None)


def window_of(config: Any) -> int | None:
    """Positions a model has, prompt and response together; None where its config does not tell."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return getattr(text, "max_position_embeddings", None)


def vocabulary_of(model: str) -> int | None:
    """Tokens that a model gives logits for, by its config; None where there is no config."""
    transformers = require("transformers", "train")
    try:
        text = transformers.AutoConfig.from_pretrained(model).get_text_config()
    except (OSError, ValueError, KeyError):
        return None
    return getattr(text, "vocab_size", None)


def suggestions(generation: dict[str, Any]) -> dict[str, Any]:
    """What a generation config says of decoding: neither ids of tokens nor how the config came about."""
    beside = ("use_cache", "_from_model_config", "transformers_version")
    return {
        k: v
        for k, v in generation.items()
        if k not in beside and not k.endswith("_token_id") and not k.startswith("output_")
    }


def _check_folder(model: str) -> None:
    """One line for what is plainly a path and not there, or no model: the hub's answer would be about names."""
    path = Path(model)
    if path.is_dir():
        if not (path / "config.json").exists() and not (path / "adapter_config.json").exists():
            raise EngineError(f"{model} is no model folder: it has no config.json.")
    elif path.exists():
        raise EngineError(f"{model} is a file; a model is a folder with config.json, or a name on the hub.")
    elif path.is_absolute() or model.startswith(("./", "../", "~")) or model.count("/") > 1:
        raise EngineError(f"there is no model folder {model}.")


def _source(model: str, revision: str | None) -> str:
    """Where to load from: `model`, or its folder in the cache, where the hub is not there to be asked for news.

    The hub's client would try for a minute, once a file, also for a model in the cache and with `local_files_only` (the
    search for an adapter knows nothing of it). Any answer of the hub is left to its client, and so is a slow one.

    Raises:
        EngineError: the name can only be the hub's, which is not there, and the cache does not hold it.
    """
    if Path(model).is_dir():
        return model
    import httpx
    from huggingface_hub import constants, get_session, try_to_load_from_cache

    files = ("config.json", "adapter_config.json", "tokenizer_config.json")
    try:
        kept = [try_to_load_from_cache(model, file, revision=revision) for file in files]
    except ValueError:  # no name at all, of which the client says why
        return model
    if constants.HF_HUB_OFFLINE:
        return model
    try:
        get_session().head(f"{constants.ENDPOINT}/api/models/{model}", timeout=CONNECT)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        if found := next((path for path in kept if isinstance(path, str)), None):
            return str(Path(found).parent)
        raise EngineError(
            f"there is no folder {model}, and the hub cannot be reached to look for a model of that name ({error})."
        ) from error
    except httpx.HTTPError:
        pass
    return model


def _loaded(load: Callable[..., Any], what: str, model: str, **options: Any) -> Any:
    try:
        return load(model, **options)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if "trust_remote_code" in text:
            raise EngineError(
                f"{model} brings code of its own, which would run on your machine; if you trust it: "
                "--engine-option trust_remote_code=true."
            ) from error
        where = "is it complete?" if Path(model).is_dir() else "is the name right, and can the hub be reached?"
        raise EngineError(f"no {what} could be loaded from {model}; {where} ({_short(text)})") from error


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


@contextmanager
def _quietly(transformers: Any) -> Iterator[None]:
    """Without transformers' progress bars: the library does not print."""
    log = transformers.utils.logging
    shown = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            log.enable_progress_bar()
