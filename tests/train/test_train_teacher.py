"""Teachers: what they are at each step, with whole models, LoRA, tied embeddings and half precision; saved and loaded."""

from __future__ import annotations

import copy

import pytest
import torch

from epiverb.errors import ConfigError
from epiverb.train.lowrank import blend
from epiverb.train.teacher import Teacher

transformers = pytest.importorskip("transformers", reason="training needs the extra 'train'")


def qwen(tied=True, dropout=0.0):
    config = transformers.Qwen3Config(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, tie_word_embeddings=tied, attention_dropout=dropout,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.Qwen3ForCausalLM(config)


def lora(rank=2, **options):
    peft = pytest.importorskip("peft", reason="training needs the extra 'train'")
    model = qwen()
    config = peft.LoraConfig(r=rank, lora_alpha=6, target_modules=["q_proj", "up_proj"], **options)
    return peft.get_peft_model(model, config)


def shake(model, seed, size=0.05):
    """Change every trained parameter, as training would."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.randn(parameter.shape, generator=source).to(parameter.dtype))


IDS = torch.arange(10).reshape(1, 10)


def logits(model):
    return model(IDS).logits


def of(teacher, student):
    return sum(factor * part for factor, part in teacher.run(student, logits))


def added(model):
    """What LoRA adds to each weight."""
    return {
        name: module.get_delta_weight("default")
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
    }


def added_by(teacher, student):
    """The same of the teacher."""
    with teacher._installed(student):
        return {name: delta.detach().clone() for name, delta in added(student).items()}


@pytest.mark.parametrize("make", [qwen, lambda: qwen(tied=False), lora])
def test_kinds(make):
    student = make()
    before = logits(student).detach()
    teachers = {kind: Teacher(student, kind, rate=0.3) for kind in ("fixed", "ema", "live", "trust-region")}
    shake(student, 1)
    now = logits(student).detach()
    assert not torch.allclose(before, now)
    torch.testing.assert_close(of(teachers["fixed"], student), before)
    torch.testing.assert_close(of(teachers["ema"], student), before)
    torch.testing.assert_close(of(teachers["live"], student), now)
    torch.testing.assert_close(of(teachers["trust-region"], student), 0.7 * before + 0.3 * now)
    for teacher in teachers.values():
        teacher.update(student)
    torch.testing.assert_close(of(teachers["fixed"], student), before)
    assert not torch.allclose(of(teachers["ema"], student), before)
    torch.testing.assert_close(logits(student), now)  # and the student is as it was


def test_it_is_the_student_in_memory_not_on_disk(tmp_path):
    student = qwen()
    student.save_pretrained(tmp_path)
    student = transformers.Qwen3ForCausalLM.from_pretrained(tmp_path)
    shake(student, 1)
    torch.testing.assert_close(of(Teacher(student), student), logits(student).detach())


@pytest.mark.parametrize("tied", [True, False])
def test_ema_of_a_whole_model(tied):
    student = qwen(tied)
    teacher = Teacher(student, "ema", rate=0.25)
    expected = {name: p.detach().clone() for name, p in student.named_parameters()}
    for step in range(3):
        shake(student, step)
        teacher.update(student)
        for name, parameter in student.named_parameters():
            expected[name] = 0.75 * expected[name] + 0.25 * parameter.detach()
    for name, parameter in teacher.model.named_parameters():
        torch.testing.assert_close(parameter, expected[name])
    assert teacher.updates == 3
    same = teacher.model.lm_head.weight is teacher.model.model.embed_tokens.weight
    assert same == tied


def test_a_teacher_in_bfloat16_moves():
    """A twentieth of a change of half a percent is less than bfloat16 can add; in float32 it is kept until it counts."""
    student = torch.nn.Linear(4, 4, bias=False, dtype=torch.bfloat16)
    with torch.no_grad():
        student.weight.fill_(1.0)
    teacher = Teacher(student, "ema", rate=0.05)
    with torch.no_grad():
        student.weight.fill_(1.0078125)  # the next number
    stuck = torch.ones(1, dtype=torch.bfloat16)
    for _ in range(100):
        teacher.update(student)
        stuck.lerp_(student.weight[0, 0].detach().reshape(1), 0.05)
    assert stuck.item() == 1.0
    assert teacher.model.weight[0, 0].item() == 1.0078125
    assert teacher.weights["weight"][0, 0].item() == pytest.approx(1 + 0.0078125 * (1 - 0.95**100), abs=1e-6)


def test_lora_is_right_after_one_step():
    """What the teacher adds is rho times what the student adds; means of the two factors would make it rho squared."""
    student = lora()
    teacher = Teacher(student, "ema", rate=0.05)
    shake(student, 1)
    teacher.update(student)
    student_adds, teacher_adds = added(student), added_by(teacher, student)
    assert len(student_adds) == 4
    for name, delta in student_adds.items():
        torch.testing.assert_close(teacher_adds[name], 0.05 * delta)
        assert delta.norm() > 0


@pytest.mark.parametrize("rank", [1000, None])
def test_lora_over_many_steps(rank):
    """Exact with a rank that cuts nothing; with the default rank near it, and what was cut is known."""
    student = lora()
    teacher = Teacher(student, "ema", rate=0.1, rank=rank)
    expected = {name: delta.detach().clone() for name, delta in added(student).items()}
    for step in range(12):
        shake(student, step, size=0.02)
        teacher.update(student)
        expected = {name: 0.9 * old + 0.1 * added(student)[name].detach() for name, old in expected.items()}
    for name, delta in added_by(teacher, student).items():
        off = ((delta - expected[name]).norm() / expected[name].norm()).item()
        assert off < (1e-5 if rank else 0.02)
    if rank:
        assert teacher.cut < 1e-5
    else:
        assert 0 < teacher.cut < 0.02
        assert max(tensor.shape[1] for name, tensor in teacher.weights.items() if "lora_B" in name) == 8


def test_lora_that_does_not_start_at_zero():
    student = lora(init_lora_weights=False)
    before = {name: delta.detach().clone() for name, delta in added(student).items()}
    teacher = Teacher(student, "ema", rate=0.2)
    torch.testing.assert_close(added_by(teacher, student), before)
    shake(student, 1)
    teacher.update(student)
    expected = {name: 0.8 * before[name] + 0.2 * delta.detach() for name, delta in added(student).items()}
    torch.testing.assert_close(added_by(teacher, student), expected)


def test_lora_shares_what_is_frozen():
    """Only the adapter is kept, and a run leaves the student's own tensors in place, also when it fails."""
    student = lora(modules_to_save=["norm"])
    teacher = Teacher(student, "ema", rate=0.5)
    assert teacher.model is None
    trained = {name for name, p in student.named_parameters() if p.requires_grad}
    assert teacher.weights.keys() == trained
    assert any("norm" in name for name in trained)
    shake(student, 1)
    teacher.update(student)
    places = {name: p.data_ptr() for name, p in student.named_parameters()}

    def fails(model):
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        teacher.run(student, fails)
    assert {name: p.data_ptr() for name, p in student.named_parameters()} == places


def test_a_teacher_between_forward_and_backward_does_not_change_the_gradient():
    student = lora()
    teacher = Teacher(student, "ema", rate=0.5)
    shake(student, 1)
    teacher.update(student)

    def gradient(with_teacher):
        loss = logits(student).square().mean()
        if with_teacher:
            teacher.run(student, logits)
        return torch.autograd.grad(loss, [p for p in student.parameters() if p.requires_grad])

    for one, other in zip(gradient(True), gradient(False), strict=True):
        assert torch.equal(one, other)


def test_running_has_no_dropout_no_gradient_and_leaves_the_mode():
    student = qwen(dropout=0.5)
    student.train()
    student.model.layers[0].eval()
    teacher = Teacher(student, "live")
    ((factor, first),), ((_, second),) = teacher.run(student, logits), teacher.run(student, logits)
    assert factor == 1
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert student.training
    assert not student.model.layers[0].training
    assert not torch.equal(logits(student), logits(student))


@pytest.mark.parametrize("make", [qwen, lora])
@pytest.mark.parametrize("kind", ["fixed", "ema", "live", "trust-region"])
def test_a_run_continued_from_a_checkpoint_is_the_same(make, kind, tmp_path):
    def steps(student, teacher, first, last):
        for step in range(first, last):
            shake(student, step)
            teacher.update(student)

    whole = make()
    teacher = Teacher(whole, kind, rate=0.1)
    steps(whole, teacher, 0, 6)

    first = make()
    earlier = Teacher(first, kind, rate=0.1)
    steps(first, earlier, 0, 3)
    torch.save({"teacher": earlier.state_dict(), "student": first.state_dict()}, tmp_path / "state.pt")

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    second = make()
    second.load_state_dict(state["student"])
    later = Teacher(second, kind, rate=0.1)
    later.load_state_dict(state["teacher"])
    steps(second, later, 3, 6)
    assert torch.equal(of(later, second), of(teacher, whole))
    assert (later.updates, later.cut) == (teacher.updates, teacher.cut)


def test_a_loaded_state_is_not_shared():
    student = lora()
    teacher, other = Teacher(student, "ema"), Teacher(student, "ema")
    other.load_state_dict(teacher.state_dict())
    shake(student, 1)
    other.update(student)
    assert all(not tensor.any() for name, tensor in teacher.weights.items() if "lora_B" in name)


def test_blend_by_hand():
    up_T, down_T = torch.tensor([[1.0], [0.0]]), torch.tensor([[2.0, 0.0]])
    up_S, down_S = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0, 4.0]])
    up, down, cut = blend(up_T, down_T, up_S, down_S, rate=0.25, rank=2)
    assert (up @ down).tolist() == [[1.5, 0], [0, 1]]
    assert cut == 0
    up, down, cut = blend(up_T, down_T, up_S, down_S, rate=0.25, rank=1)
    torch.testing.assert_close(up @ down, torch.tensor([[1.5, 0], [0, 0]]))
    assert cut == pytest.approx(1 / (1.5**2 + 1) ** 0.5)


def test_bad_input():
    student = qwen()
    with pytest.raises(ConfigError, match="Did you mean 'fixed'"):
        Teacher(student, "fixd")
    with pytest.raises(ConfigError, match=r"rate is 1\.5"):
        Teacher(student, "ema", rate=1.5)
    with pytest.raises(ConfigError, match="trains no parameter"):
        Teacher(qwen().requires_grad_(False))
    state = Teacher(student, "ema").state_dict()
    with pytest.raises(ConfigError, match="kind 'ema', this one 'fixed'"):
        Teacher(student, "fixed").load_state_dict(state)
    with pytest.raises(ConfigError, match=r"rate 0\.05, this one 0\.1"):
        Teacher(student, "ema", rate=0.1).load_state_dict(state)
    with pytest.raises(ConfigError, match="of another model"):
        Teacher(lora(), "ema").load_state_dict(state)
    with pytest.raises(ConfigError, match=r"of another model: lm_head\.weight"):
        Teacher(qwen(tied=False), "ema").load_state_dict(state)
    teacher, changed = Teacher(student, "ema"), copy.deepcopy(student)
    changed.model.norm.weight.requires_grad_(False)
    with pytest.raises(ConfigError, match=r"does not train what it did .* model\.norm\.weight"):
        teacher.update(changed)
    with pytest.raises(ConfigError, match=r"lora_magnitude.* Use fixed"):
        Teacher(lora(use_dora=True), "ema")
    assert Teacher(lora(use_dora=True), "fixed").weights
