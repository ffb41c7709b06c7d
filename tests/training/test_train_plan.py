"""What a training comes to, worked by hand and without loading anything; every recipe."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from epiverb.config import load
from epiverb.configs import train as configs
from epiverb.train.settings import Distillation, Policy
from epiverb.verbs.training import memory, plan, settings
from epiverb.verbs.training.shapes import TABLE, shape_of

ROOT = Path(__file__).parent.parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*/config.yaml"))
NAMES = [path.parent.name for path in RECIPES]
GIB = 1 << 30


def method(recipe: Path) -> str:
    return recipe.read_text("utf-8").split(maxsplit=4)[3]


def sdpo(**groups):
    return load(configs.SdpoConfig, flags={"model": "Qwen/Qwen3-8B", "data": ["math500"], **groups})


# ---- batches ----


def test_batches_of_the_paper():
    config = sdpo(**{"rollouts.questions": 256, "rollouts.mini_batch": 128})
    work = plan.batches(config, 4)
    assert (work.accumulation, work.updates, work.step, work.generation) == (256, 2, 1024, 2048)
    assert plan.batches(sdpo(**{"memory.micro_batch": 4}), 2) == plan.Batches(2, 4, 8, 1)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--mini-batch", "3"), "--mini-batch 3: 8 questions cannot be divided by it"),
        (("--micro-batch", "3"), "64 responses of a step (8 x 8) cannot be divided by 3"),
        (("--gpus", "3"), "on 3 processes: 64 responses"),
        (("-n", "1"), "--samples 1: at least 2"),
        (("--temperature", "0"), "--temperature 0: is not above 0"),
        (("--steps", "0"), "--steps 0: at least 1"),
        (("--qlora",), "Give a rank with --lora"),
        (("--alpha", "1.5"), "alpha is 1.5"),
        (("--weights", "preserv"), "Did you mean 'preserve'?"),
        (("--context", "solutio"), "Did you mean 'solution'?"),
        (("--probe", "math500"), "not NAME=SET[:N]"),
        (("--alarm", "markers"), "alarm 'markers'"),
        (("--tracker", "wand"), "--tracker wand"),
        (("-l", "epiverb-em"), "epiverb-en"),
        (("--set", "rollouts.question=3"), "unknown key 'question'. Did you mean 'questions'?"),
        (("-d", "math50"), "math500"),
    ],
)
def test_what_cannot_be_is_one_line(epiverb, flags, said):
    data = () if "-d" in flags else ("-d", "math500")
    outcome = epiverb("train", "sdpo", "-m", "Qwen/Qwen3-8B", *data, *flags, "--dry-run")
    assert outcome.code == 2, outcome.out
    assert outcome.err.count("\n") == 1
    assert said in outcome.message


def test_examples_make_steps(epiverb, tmp_path):
    lines = [json.dumps({"prompt": "a", "completion": "b"})] * 21
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    flags = ("-m", "Qwen/Qwen3-1.7B", "-d", "a.jsonl", "--batch", 4, "--dry-run", "--json")
    plan = epiverb("train", "sft", *flags, "--epochs", 2).json
    assert (plan["n_examples"], plan["steps"]) == (21, 12)  # six steps an epoch, the last of one example
    assert epiverb("train", "sft", *flags, "--steps", 5).json["steps"] == 5


# ---- settings ----


def test_groups_of_settings_are_those_of_the_trainers():
    def names(cls):
        return {field.name for field in dataclasses.fields(cls)}

    assert names(configs.Distilling) == names(Distillation)
    assert names(configs.Clips) | names(configs.Rewarded) == names(Policy)
    made = settings.settings_of(sdpo())
    assert made["settings"] == Distillation()
    assert made["policy"] == Policy()
    grpo = load(configs.GrpoConfig, flags={"model": "m", "data": ["d"]})
    assert settings.settings_of(grpo) == {"settings": Policy()}


@pytest.mark.parametrize("name", ["train sft", "train grpo", "train sdpo"])
def test_settings_print_and_read_back(epiverb, tmp_path, name):
    text = epiverb("config", *name.split()).out
    assert text == epiverb("config", name).out
    assert "# As the paper" in text or name == "train sft"
    (tmp_path / "a.jsonl").write_text('{"prompt": "What is 2 + 2?", "completion": "4", "gold": "4"}\n')
    (tmp_path / "a.yaml").write_text(
        text.replace("# model:", "model: Qwen/Qwen3-8B").replace("# data:", "data: [a.jsonl]")
    )
    with_file = epiverb(*name.split(), "-c", "a.yaml", "--dry-run", "--json").json
    without = epiverb(*name.split(), "-m", "Qwen/Qwen3-8B", "-d", "a.jsonl", "--dry-run", "--json").json
    assert with_file == without


@pytest.mark.parametrize(
    "name", ["Distilling", "Clips", "Rewarded", "Rollouts", "Watching", "Fitting", "Asked", "Learned"]
)
def test_every_setting_of_a_group_is_documented(name):
    from epiverb.config import field_docs

    cls = getattr(configs, name)
    fields = {field.name for field in dataclasses.fields(cls)}
    assert fields == set(field_docs(cls))
    assert len(fields) <= 25


def test_the_same_settings_are_the_same_training():
    one = plan.identity(sdpo())
    assert one == plan.identity(sdpo(out="elsewhere", **{"memory.gpus": 4, "watching.keep": 2}))
    assert one != plan.identity(sdpo(seed=1))
    assert one != plan.identity(sdpo(**{"distillation.alpha": 0.25}))
    assert plan.default_out(sdpo()) != plan.default_out(sdpo(lr=1e-6))


# ---- sizes and memory ----


@pytest.mark.parametrize("name", TABLE)
def test_parameters_are_counted_as_the_library_makes_them(name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    shape = TABLE[name]
    kinds = {"qwen2": transformers.Qwen2Config, "qwen3": transformers.Qwen3Config, "olmo3": transformers.Olmo3Config}
    config = kinds[shape.kind](
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, intermediate_size=shape.intermediate,
        max_position_embeddings=shape.window, head_dim=shape.head, tie_word_embeddings=shape.tied,
    )  # fmt: skip
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
        assert sum(p.numel() for p in model.parameters()) == shape.parameters
        model = peft.get_peft_model(model, peft.LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == shape.lora(8)


def test_a_folder_tells_its_own_sizes(model):
    transformers = pytest.importorskip("transformers")
    net = transformers.AutoModelForCausalLM.from_pretrained(model)
    shape = shape_of(str(model))
    assert shape.parameters == sum(p.numel() for p in net.parameters())
    assert shape.window == net.config.max_position_embeddings
    assert "not known" in shape_of("nobody/nothing")


def test_memory_worked_by_hand():
    """Qwen3-8B, 8,190,735,360 weights; figures in GiB worked with a pocket calculator."""
    shape = TABLE["Qwen/Qwen3-8B"]
    config = sdpo(**{"rollouts.max_tokens": 20480, "rollouts.vllm": "server"})
    found = memory.estimate(config, shape, plan.batches(config, 1))
    stays = {part.name: part.bytes / GIB for part in found.stays}
    assert stays == pytest.approx(
        {"weights": 30.513, "gradients": 30.513, "optimizer": 61.026, "teacher": 30.513}, abs=1e-3
    )
    # 22,528 tokens x 4,096 x 36 layers x 2 bytes, and one layer of (6 + 4 + 1 ...) units
    layer = 22528 * 2 * (6 * 4096 + 2 * (4096 + 2 * 1024) + 4096 + 4 * 12288)
    assert found.updating[0].bytes == 22528 * 4096 * 36 * 2 + layer
    assert found.sampling == ()
    # Five tensors of 20,480 x 151,936 in single precision: measured for the top 100 with a tail.
    assert found.plain_logits / GIB == pytest.approx(59.1, abs=0.1)
    four = memory.estimate(sdpo(**{"memory.gpus": 4, "memory.shard": "fsdp2"}), shape, plan.batches(config, 4))
    assert sum(part.bytes for part in four.stays) == pytest.approx(sum(part.bytes for part in found.stays) / 4)


def test_memory_follows_the_settings():
    shape = TABLE["Qwen/Qwen3-1.7B"]

    def total(**groups):
        config = sdpo(**{"rollouts.vllm": "server"} | groups)
        return memory.estimate(config, shape, plan.batches(config, 1)).total

    assert total(**{"memory.lora": 32}) < total() / 3
    assert total(**{"memory.lora": 32, "memory.qlora": True}) < total(**{"memory.lora": 32})
    assert total(**{"memory.checkpointing": False, "rollouts.max_tokens": 8192, "rollouts.questions": 1}) > total(
        **{"rollouts.max_tokens": 8192, "rollouts.questions": 1}
    )
    assert total(**{"distillation.teacher": "live"}) < total()
    assert total(**{"rollouts.max_tokens": 4096}) > total(**{"rollouts.max_tokens": 1024})


# ---- recipes ----


def test_there_are_recipes_for_every_published_run():
    wanted = {"sdpo-qwen3-8b", "sdpo-nothink", "sdpo-ema", "grpo-qwen3-8b", "sft-unguided", "sft-guided", "sdpo-r1-7b", "sdpo-olmo3-7b",
              "coverage-sdpo", "coverage-grpo", "sdpo-chemistry", "sdpo-livecodebench", "sdpo-qwen3-1.7b-lora"}  # fmt: skip
    assert wanted <= set(NAMES)


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_every_recipe_prints_what_it_comes_to(epiverb, recipe):
    command = ("train", method(recipe), "-c", recipe, "--dry-run")
    plan = epiverb(*command, "--json").json
    assert plan["memory"]["total"] > GIB
    assert plan["model"]["parameters"] > 1e9
    assert plan["out"] == f"runs/{recipe.parent.name}"
    shown = epiverb(*command)
    assert shown.code == 0
    assert "Memory of each GPU, an estimate" in shown.out
    many = plan["config"]["memory"]["gpus"] > 1
    assert ("accelerate launch" in shown.out) == many
    assert "positions" not in shown.err  # prompt and response fit the model


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_every_recipe_says_what_the_paper_had(recipe):
    text = (recipe.parent / "README.md").read_text("utf-8")
    assert f"recipes/{recipe.parent.name}/config.yaml" in text
    assert "| setting | paper | here | why |" in text
    assert "## Expected" in text
    assert "arXiv 2603.24472" in text


def test_the_paper_s_sdpo_run_is_the_paper_s(epiverb):
    recipe = ROOT / "recipes" / "sdpo-qwen3-8b" / "config.yaml"
    plan = epiverb("train", "sdpo", "-c", recipe, "--dry-run", "--json").json
    settings, rollouts = plan["config"]["distillation"], plan["config"]["rollouts"]
    assert (settings["alpha"], settings["topk"], settings["tail"], settings["teacher"]) == (0.5, 100, True, "fixed")
    assert (rollouts["questions"], rollouts["samples"], rollouts["max_tokens"]) == (256, 8, 20480)
    assert plan["config"]["lr"] == 1e-5
    assert plan["rollouts"]["batches"] == 100
    assert plan["rollouts"]["responses"] == 204_800
    assert plan["batches"]["steps_a_batch"] == 2


@pytest.mark.parametrize("n", [1, 8, 64, 128, 512])
def test_the_sweep_over_questions(epiverb, tmp_path, n):
    rows = [json.dumps({"problem_id": str(i), "question": f"What is {i} + 1?", "gold": str(i + 1)}) for i in range(600)]
    (tmp_path / "sums.jsonl").write_text("\n".join(rows))
    recipe = ROOT / "recipes" / "coverage-sdpo" / "config.yaml"
    plan = epiverb("train", "sdpo", "-c", recipe, "-d", f"coverage:{n}@sums.jsonl", "--dry-run", "--json").json
    assert plan["n_problems"] == n
    assert plan["rollouts"]["epochs"] == 50 * 64 / n


def test_recipes_are_listed_and_shipped(epiverb):
    rows = {row["name"]: row for row in epiverb("ls", "recipes", "--json").json["rows"]}
    assert set(rows) == set(NAMES)
    assert rows["sdpo-qwen3-8b"]["train"] == "sdpo"
    assert Path(rows["sdpo-qwen3-8b"]["config"]).is_file()
    from epiverb.config import _read_yaml

    for path in (ROOT / "recipes" / "accelerate").glob("*.yaml"):
        assert yaml.safe_load(path.read_text("utf-8"))["num_processes"] == 4
        assert _read_yaml(str(path))["distributed_type"]


def test_weights_are_listed(epiverb):
    pytest.importorskip("torch")
    rows = {row["name"]: row for row in epiverb("ls", "weights", "--json").json["rows"]}
    assert "keep" in rows["preserve"]["settings"]
