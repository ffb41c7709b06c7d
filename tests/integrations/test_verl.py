"""verl: the published settings as overrides, and its dump of rollouts as a folder, by step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import epiverb as ev
from epiverb.errors import ConfigError
from epiverb.integrations.verl import PRESETS, overrides

FORMATS = Path(__file__).parents[1] / "fixtures" / "formats"


def told(name: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in overrides(name))


def test_the_settings_of_the_paper():
    """Table of the published runs, written down a second time from the paper's side."""
    sdpo, grpo = told("sdpo-math"), told("grpo-math")
    actor = "actor_rollout_ref.actor"
    for run in (sdpo, grpo):
        assert run["data.train_batch_size"] == "256"
        assert run["actor_rollout_ref.rollout.n"] == "8"
        assert run[f"{actor}.ppo_mini_batch_size"] == "128"
        assert (run["data.max_prompt_length"], run["data.max_response_length"]) == ("2048", "20480")
        assert run["algorithm.norm_adv_by_std_in_grpo"] == "False"
        assert (run[f"{actor}.clip_ratio_low"], run[f"{actor}.clip_ratio_high"], run[f"{actor}.clip_ratio_c"]) == (
            "0.2",
            "0.28",
            "3.0",
        )
        assert run["algorithm.rollout_correction.rollout_is"] == "token"
        assert run["algorithm.rollout_correction.rollout_is_threshold"] == "2.0"
        assert run["trainer.total_training_steps"] == "100"
    own = f"{actor}.self_distillation"
    assert (sdpo[f"{actor}.optim.lr"], grpo[f"{actor}.optim.lr"]) == ("1e-5", "1e-6")
    assert sdpo[f"{actor}.policy_loss.loss_mode"] == "sdpo"
    assert (sdpo[f"{own}.alpha"], sdpo[f"{own}.distillation_topk"], sdpo[f"{own}.distillation_add_tail"]) == (
        "0.5",
        "100",
        "True",
    )
    assert (sdpo[f"{own}.teacher_update_rate"], sdpo[f"{own}.is_clip"]) == ("0.0", "2.0")
    assert sdpo[f"{own}.max_reprompt_len"] == "22528"
    assert not any(own in key for key in grpo)
    assert told("sdpo-math-no-think")[f"{own}.remove_thinking_from_demonstration"] == "True"
    assert told("sdpo-math-ema")[f"{own}.teacher_update_rate"] == "0.05"
    assert told("sdpo-math-small")[f"{actor}.ppo_mini_batch_size"] == "32"
    assert told("grpo-math-think-off")["++data.apply_chat_template_kwargs.enable_thinking"] == "false"


def test_presets_differ_in_what_they_say():
    assert len({tuple(overrides(name)) for name in PRESETS}) == len(PRESETS)
    assert overrides("grpo-math", rollouts="dump", trainer__nnodes="2")[-1] == "trainer.rollout_data_dir=dump"
    assert "trainer.nnodes=2" in overrides("grpo-math", trainer__nnodes="2")
    with pytest.raises(ConfigError, match="Did you mean 'grpo-math'"):
        overrides("grpo-maths")


def test_printed_a_setting_a_line():
    command = [sys.executable, "-m", "epiverb.integrations.verl"]
    done = subprocess.run([*command, "grpo-math"], capture_output=True, text=True)
    assert done.stdout.splitlines() == overrides("grpo-math")
    wrong = subprocess.run([*command, "nothing"], capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("unknown preset for verl 'nothing'.")


def test_a_dump_of_rollouts_is_read_by_step(tmp_path):
    run = ev.analyze(str(FORMATS / "verl"), out=str(tmp_path / "run"), draws=10)
    assert {source["format"] for source in run.summary["sources"]} == {"verl"}
    traces = run.scan("traces").collect()
    assert sorted(set(traces["step"])) == [20, 100]
    assert traces["reward"].null_count() == 0
    assert {group["step"] for group in run.summary["groups"]} == {20, 100}
