"""Every case that the reference implementations' own functions made, in double precision."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from epiverb.contexts.kinds import Guided
from epiverb.contexts.parts import without_thinking
from epiverb.contexts.templates import TEMPLATES
from epiverb.train.advantages import advantages
from epiverb.train.chunked import chunked_divergence
from epiverb.train.demonstrations import Rollout, fractions, groups_of, select_demonstration
from epiverb.train.losses import (
    aggregate,
    clip_loss,
    clipped,
    divergence,
    importance_weights,
    sampled_token_loss,
    shares,
    token_logps,
)
from epiverb.train.reprompt import reprompt
from epiverb.train.teacher import Teacher

GROUPS = (
    "full_logits_", "topk2_", "sampled_token_", "aggregation_", "importance_", "no_demonstration_", "micro_batch1_",
    "grpo_advantages_norm", "grpo_advantages_TRL", "grpo_clip_loss_", "rollout_is_weights_", "ema_update", "trust_region_",
    "reprompt_", "remove_thinking", "templates",
)  # fmt: skip


@pytest.fixture(scope="module")
def cases(shared):
    file = shared / "vectors" / "training.json"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    return json.loads(file.read_text("utf-8"))["cases"]


@pytest.fixture
def of(cases, request):
    """The cases of a group; there is at least one."""
    found = [case for case in cases if case["name"].startswith(request.param)]
    assert found
    return found


def group(name):
    return pytest.mark.parametrize("of", [name], indirect=True)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def close(ours, expected, rtol=1e-9, atol=1e-12):
    torch.testing.assert_close(
        torch.as_tensor(ours, dtype=torch.float64).detach(), tensor(expected), rtol=rtol, atol=atol
    )


def test_every_case_belongs_to_a_group(cases):
    assert len(cases) == 44
    assert [case["name"] for case in cases if not case["name"].startswith(GROUPS)] == []


def logits(case):
    inputs = case["inputs"]
    return tensor(inputs["student_logits"]).requires_grad_(), tensor(inputs["teacher_logits"])


def support(case):
    ids = case["expected"].get("student_topk_indices")
    return None if ids is None else torch.tensor(ids)


@group("full_logits_")
def test_full_logits(of):
    for case in of:
        student, teacher = logits(case)
        inputs, expected = case["inputs"], case["expected"]
        each = divergence(student, teacher, inputs["alpha"], temperature=inputs["temperature"])
        close(each, expected["per_token"])
        loss = aggregate(each, tensor(inputs["response_mask"]))
        close(loss, expected["loss"])
        (gradient,) = torch.autograd.grad(loss, student)
        # The one case with a temperature states the gradient in the scaled logits.
        scaled = expected.get("grad_scaled_logits")
        close(gradient * inputs["temperature"], scaled if scaled else expected["grad_student_logits"])


@group("topk2_")
def test_topk(of):
    for case in of:
        student, teacher = logits(case)
        inputs, expected = case["inputs"], case["expected"]
        options = {"topk": inputs["topk"], "tail": inputs["add_tail"]}
        each = divergence(student, teacher, inputs["alpha"], support=support(case), **options)
        close(each, expected["per_token"])
        loss = aggregate(each, tensor(inputs["response_mask"]))
        close(loss, expected["loss"])
        close(torch.autograd.grad(loss, student)[0], expected["grad_student_logits"])
        own = divergence(student, teacher, inputs["alpha"], **options)  # all but the tied position
        tied = torch.zeros_like(own, dtype=torch.bool)
        tied[0, 2] = True
        close(own.masked_fill(tied, 0), tensor(expected["per_token"]).masked_fill(tied, 0).tolist())


@pytest.mark.parametrize("of", ["full_logits_", "topk2_"], indirect=True)
def test_from_hidden_states(of):
    """An identity as the head makes the vectors' logits hidden states."""
    for case in of:
        student, teacher = logits(case)
        inputs, expected = case["inputs"], case["expected"]
        mask, head = tensor(inputs["response_mask"]), torch.eye(student.shape[-1], dtype=torch.float64)
        if "topk" in inputs:
            mask[0, 2] = 0  # tied student logits
        done = chunked_divergence(
            student, head, teacher, head, inputs["alpha"], mask=mask, weights=shares(mask), topk=inputs.get("topk"),
            tail=inputs.get("add_tail", True), temperature=inputs.get("temperature", 1.0), chunk=2,
        )  # fmt: skip
        close(done.divergence[mask > 0], tensor(expected["per_token"])[mask > 0].tolist())
        if "topk" in inputs:
            continue
        close(done.loss, expected["loss"])
        scaled = expected.get("grad_scaled_logits")
        (gradient,) = torch.autograd.grad(done.loss * inputs["temperature"], student)
        close(gradient, scaled if scaled else expected["grad_student_logits"])


@group("sampled_token_")
def test_sampled_token(of):
    (case,) = of
    student, teacher = logits(case)
    ids = torch.tensor(case["inputs"]["completion_ids"])
    each = sampled_token_loss(token_logps(student, ids), token_logps(teacher, ids))
    close(each, case["expected"]["per_token"])
    loss = aggregate(each, tensor(case["inputs"]["response_mask"]))
    close(loss, case["expected"]["loss"])
    close(torch.autograd.grad(loss, student)[0], case["expected"]["grad_student_logits"])


@group("aggregation_")
def test_aggregation(of):
    for case in of:
        inputs, expected = case["inputs"], case["expected"]
        samples = inputs["self_distillation_mask"]
        mode = case["name"].removeprefix("aggregation_").removesuffix("_plain").removesuffix("_sample_mask")
        each = divergence(*logits(case), inputs["alpha"])
        close(each, expected["per_token"])
        loss = aggregate(
            each, tensor(inputs["response_mask"]), mode, samples=None if samples is None else tensor(samples)
        )
        close(loss, expected["loss"], rtol=1e-7)  # theirs divides by n + 1e-8


@group("importance_")
def test_importance(of):
    for case in of:
        student, teacher = logits(case)
        inputs, expected = case["inputs"], case["expected"]
        ids, mask = torch.tensor(inputs["completion_ids"]), tensor(inputs["response_mask"])
        options = {"topk": inputs["topk"], "tail": inputs["add_tail"], "support": support(case)}
        each = divergence(student, teacher, inputs["alpha"], **options)
        logp = token_logps(student, ids)
        each = each * importance_weights(logp, tensor(inputs["old_log_probs"]), clip=inputs["is_clip"])
        if inputs["rollout_is_weights"]:
            each = each * tensor(inputs["rollout_is_weights"])
        close(each, expected["per_token"])
        samples = inputs["self_distillation_mask"]
        loss = aggregate(each, mask, samples=None if samples is None else tensor(samples))
        close(loss, expected["loss"])
        close(torch.autograd.grad(loss, student)[0], expected["grad_student_logits"])


@group("importance_")
def test_importance_from_hidden_states(of):
    for case in of:
        student, teacher = logits(case)
        inputs, expected = case["inputs"], case["expected"]
        mask, head = tensor(inputs["response_mask"]), torch.eye(student.shape[-1], dtype=torch.float64)
        if inputs["topk"]:
            continue  # the tied position is not masked there
        done = chunked_divergence(
            student, head, teacher, head, inputs["alpha"], ids=torch.tensor(inputs["completion_ids"]), mask=mask,
            weights=shares(mask) * tensor(inputs["rollout_is_weights"] or [[1.0] * 3] * 2),
            old_logp=tensor(inputs["old_log_probs"]), is_clip=inputs["is_clip"],
        )  # fmt: skip
        close(done.loss, expected["loss"])
        close(torch.autograd.grad(done.loss, student)[0], expected["grad_student_logits"])


@group("no_demonstration_")
def test_no_demonstration(of):
    (case,) = of
    student, teacher = logits(case)
    mask, head = tensor(case["inputs"]["response_mask"]), torch.eye(student.shape[-1], dtype=torch.float64)
    samples = tensor(case["inputs"]["self_distillation_mask"])
    naive = aggregate(divergence(student, teacher, case["inputs"]["alpha"]), mask, samples=samples)
    share = shares(mask, samples=samples)
    ours = chunked_divergence(student, head, teacher, head, case["inputs"]["alpha"], mask=share, weights=share).loss
    for loss in (naive, ours):
        assert loss.item() == case["expected"]["loss"]
        assert torch.autograd.grad(loss, student)[0].abs().sum().item() == case["expected"]["grad_abs_sum"]


@group("micro_batch1_")
def test_what_the_published_runs_optimised(of):
    for case in of:
        student, teacher = logits(case)
        inputs, expected = case["inputs"], case["expected"]
        mask, samples = tensor(inputs["response_mask"]), tensor(inputs["self_distillation_mask"])
        each = divergence(student, teacher, inputs["alpha"])
        close(aggregate(each, mask, "verl-effective", samples=samples), expected["effective_loss"])
        close(aggregate(each, mask, "token-mean", samples=samples), expected["global_token_mean"])
        rows = [slice(0, 1), slice(1, 2)]
        alone = [aggregate(each[row], mask[row], samples=samples[row]) for row in rows]
        close(torch.stack(alone), expected["per_micro_batch"])
        parts = [aggregate(each[row], mask[row], "verl-effective", samples=samples[row], denominator=2) for row in rows]
        close(sum(parts), expected["effective_loss"])


@group("grpo_advantages_norm")
def test_advantages(of):
    for case in of:
        inputs = case["inputs"]
        scale = "group" if case["name"].endswith("True") else None
        ours = advantages(tensor(inputs["rewards"]), scale=scale, groups=inputs["group"])
        close(ours, case["expected"]["advantages"])
        close(ours.unsqueeze(1) * tensor(inputs["response_mask"]), case["expected"]["advantages_tokens"])


@group("grpo_advantages_TRL")
def test_advantages_of_trl(of):
    (case,) = of
    rewards, size = tensor(case["inputs"]["rewards"]), case["inputs"]["num_generations"]
    close(advantages(rewards, size, "group", eps=1e-4), case["expected"]["scale_rewards_group"])
    close(advantages(rewards, size), case["expected"]["scale_rewards_none"])
    deviations = advantages(rewards, size) / advantages(rewards, size, "group", eps=0)
    close(deviations, case["expected"]["std"])


@group("grpo_clip_loss_")
def test_clip_loss(of):
    inputs = of[0]["inputs"]
    options = {"low": inputs["clip_ratio_low"], "high": inputs["clip_ratio_high"], "dual": inputs["clip_ratio_c"]}
    for case in of:
        inputs, expected = case["inputs"], case["expected"]
        logp, old, mask = (
            tensor(inputs["log_prob"]).requires_grad_(),
            tensor(inputs["old_log_prob"]),
            tensor(inputs["response_mask"]),
        )
        each = clip_loss(logp, old, tensor(inputs["advantages"]), **options)
        each = each * tensor(inputs.get("rollout_is_weights", [[1.0] * 3] * 2))
        loss = aggregate(each, mask, inputs.get("loss_agg_mode", "token-mean"))
        close(loss, expected["loss"], rtol=1e-7)
        if "grad_log_prob" in expected:
            close(torch.autograd.grad(loss, logp)[0], expected["grad_log_prob"], rtol=1e-7)
            ranged, limited = clipped(logp, old, tensor(inputs["advantages"]), **options)
            close(aggregate(ranged.double(), mask), expected["metrics"]["actor/pg_clipfrac"], rtol=1e-7)
            close(aggregate(limited.double(), mask), expected["metrics"]["actor/pg_clipfrac_lower"])
            close(aggregate(old - logp, mask), expected["metrics"]["actor/ppo_kl"], rtol=1e-7)


@group("rollout_is_weights_")
def test_rollout_weights(of):
    for case in of:
        inputs = case["inputs"]
        ratio, mask = tensor(inputs["log_ratio_train_minus_rollout"]), tensor(inputs["response_mask"])
        level = case["name"].removeprefix("rollout_is_weights_")
        ours = importance_weights(ratio, torch.zeros_like(ratio), clip=inputs["threshold"], mask=mask, level=level)
        close(ours, case["expected"]["weights"])


@group("ema_update")
def test_ema(of):
    (case,) = of
    student = torch.nn.ParameterList([torch.nn.Parameter(tensor(values)) for values in case["inputs"]["teacher"]])
    teacher = Teacher(student, "ema", rate=case["inputs"]["rate"])
    with torch.no_grad():
        for parameter, values in zip(student, case["inputs"]["student"], strict=True):
            parameter.copy_(tensor(values))
    for expected in case["expected"]["after_each_update"]:
        teacher.update(student)
        for parameter, values in zip(teacher.model, expected, strict=True):
            close(parameter, values)


@group("trust_region_")
def test_trust_region(of):
    (case,) = of
    inputs = case["inputs"]
    reference, now = tensor(inputs["ref_logits"]), tensor(inputs["student_logits"])
    model = torch.nn.Linear(1, 1, dtype=torch.float64)
    teacher = Teacher(model, "trust-region", rate=inputs["mix_coef"])
    parts = teacher.run(model, lambda module: now if module is model else reference)
    close(sum(factor * logits for factor, logits in parts), case["expected"]["logits"])
    head = torch.eye(now.shape[-1], dtype=torch.float64)
    factors, states = zip(*parts, strict=True)
    ours = chunked_divergence(now, head, states, [head, head], 0.5, teacher_mix=factors)
    close(ours.divergence, divergence(now, tensor(case["expected"]["logits"]), 0.5).tolist())


@group("reprompt_")
def test_reprompts(of):
    for case in of:
        inputs, expected, options = case["inputs"], case["expected"], case["inputs"]["overrides"]
        told = options.get("include_environment_feedback", True)
        together = not options.get("environment_feedback_only_without_solution", True)
        removed = options.get("remove_thinking_from_demonstration", "lasgroup" in case["name"])
        context = Guided("", ("solution", "feedback"), "sdpo-yaml", thinking=not removed, together=together)
        rows = zip(inputs["responses"], inputs["rewards"], inputs["feedback"], strict=True)
        rollouts = [Rollout(text, reward, feedback=feedback if told else None) for text, reward, feedback in rows]
        own = not options.get("dont_reprompt_on_self_success", True)
        shown = {}
        for places in groups_of(inputs["uid"]):
            group = [rollouts[place] for place in places]
            for i, place in enumerate(places):
                demonstration = select_demonstration(group, i, own=own)
                # Published code without the orphan rule keeps `open</think>`; the paper's, and ours, does not.
                keeps = "lasgroup" in case["name"] and demonstration and demonstration.text == "open</think>tail 4"
                shown[place] = reprompt(
                    inputs["prompt"],
                    demonstration,
                    context=replace(context, thinking=True) if keeps else context,
                    feedback=rollouts[place].feedback,
                )
        done = [shown[place] for place in range(len(rollouts))]
        assert [list(each.messages) for each in done] == expected["messages"]
        assert [float(each.used) for each in done] == expected["self_distillation_mask"]
        has = ["Correct solution:" in each.messages[-1]["content"] for each in done]
        heard = ["is feedback from" in each.messages[-1]["content"] for each in done]
        ours = fractions(rollouts, inputs["uid"], has, heard)
        assert {f"self_distillation/{name}": value for name, value in ours.items()} == expected["metrics"]


@pytest.mark.parametrize("of", ["remove_thinking"], indirect=True)
def test_removed_thinking(of):
    (case,) = of
    assert [without_thinking(text) for text in case["inputs"]["texts"]] == case["expected"]["paper"]


@pytest.mark.parametrize("of", ["templates"], indirect=True)
def test_templates(of):
    (case,) = of
    for name, key in (("sdpo-yaml", "yaml"), ("sdpo-dataclass", "dataclass")):
        ours, theirs = TEMPLATES[name], case["expected"][key]
        assert [ours.reprompt, ours.solution, ours.feedback] == list(theirs.values())
