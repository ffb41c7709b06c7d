"""What `epiverb train sft|grpo|sdpo` can be told: groups that the three share, and a class each.

Defaults are those of arXiv 2603.24472 where one computer can bear them; where it cannot, the field says what the paper has.
`recipes/` holds the paper's own runs. A step is an update of the weights, as in the names of checkpoints and in the column
`step`; a batch of questions makes several where `mini_batch` is smaller than `questions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from epiverb.config import setting
from epiverb.configs.analyze import DEFAULT_LEXICONS


@dataclass(frozen=True)
class Asked:
    """Which problems, and how they are asked and graded."""

    thinking: Literal["on", "off"] | None = setting(None)
    """Switch the model's thinking, in the teacher's prompt too. Default: as its chat template does by itself."""
    max_prompt: int = setting(2048, metavar="N")
    """Tokens that a question may have; longer ones are left out and counted. As the paper."""
    limit: int | None = setting(None, metavar="N")
    """Only the first N problems of each set."""
    lenient: tuple[str, ...] = setting((), metavar="NAME")
    """Named deviations of the graders from their strict rule, each time one. All are off by default."""
    domain: dict[str, str] = setting({}, metavar="BENCHMARK=id|ood")
    """Which benchmarks are in-domain (id) and which out-of-domain (ood). Default: what is trained on is in-domain."""


@dataclass(frozen=True)
class Rollouts:
    """How many responses are sampled, and how."""

    questions: int = setting(8, metavar="N")
    """Questions of a batch. The paper: 256, and 64 where it varies their number."""
    samples: int = setting(8, short="-n", metavar="N")
    """Responses to each question. As the paper."""
    mini_batch: int | None = setting(None, metavar="N")
    """Questions of a step. Default: the whole batch. The paper: 128 or 64 of 256, 32 of 64."""
    max_tokens: int = setting(1024, metavar="N")
    """Tokens that a response may have. The paper: 20,480."""
    temperature: float = setting(1.0, metavar="T")
    """Temperature, of the losses too. As the paper."""
    top_p: float = setting(1.0, metavar="P")
    """Share of the probability that the most likely tokens must hold. As the paper: 1, off."""
    top_k: int = setting(0, metavar="K")
    """Number of most likely tokens. As the paper: 0, off."""
    vllm: Literal["off", "colocate", "server"] = setting("off")
    """Sample with transformers (off), with vLLM on the same GPUs (colocate), or with a vLLM server (trl vllm-serve)."""
    vllm_url: str | None = setting(None, metavar="URL")
    """Of --vllm server. Default: http://localhost:8000."""
    vllm_memory: float = setting(0.3, metavar="SHARE")
    """Of --vllm colocate: share of each GPU's memory that vLLM takes."""
    vllm_gpus: int = setting(1, metavar="N")
    """Of --vllm colocate: GPUs over which vLLM spreads one copy of the model."""
    vllm_sleep: bool = setting(True)
    """Of --vllm colocate: give the memory back while the weights are updated."""


@dataclass(frozen=True)
class Optimiser:
    """How the weights are updated: AdamW with betas 0.9 and 0.999."""

    schedule: Literal["constant", "linear", "cosine"] = setting("constant")
    """What the learning rate does after the warm-up. As the paper: constant."""
    warmup: int = setting(10, metavar="N")
    """Steps in which the learning rate rises from 0. As the paper."""
    weight_decay: float = setting(0.01, metavar="X")
    """As the paper."""
    max_grad_norm: float = setting(1.0, metavar="X")
    """Longer gradients are cut to this length. As the paper."""
    optimizer: str = setting("adamw_torch", metavar="NAME")
    """By the names of transformers; paged_adamw_8bit holds a quarter (with bitsandbytes)."""


@dataclass(frozen=True)
class Distilling:
    """SDPO: which divergence, from whom, and what the teacher is shown."""

    alpha: float = setting(0.5, metavar="A")
    """0: KL(teacher || student), 1: KL(student || teacher), between them Jensen-Shannon. As the paper: 0.5."""
    topk: int | None = setting(100, metavar="K")
    """Only on the student's K most likely tokens; none: the whole vocabulary. As the paper: 100."""
    tail: bool = setting(True)
    """With --topk: all other tokens are one more outcome."""
    is_clip: float | None = setting(2.0, metavar="X")
    """Cap of the ratio to the policy that sampled; none: no ratio. As the paper."""
    rollout_is_clip: float | None = setting(2.0, metavar="X")
    """Cap of the weight for what vLLM and the trainer disagree on; none: no weight. As the paper."""
    entry_clip: float | None = setting(None, metavar="X")
    """Most nats that one word of the vocabulary may add. The paper: no such limit."""
    aggregate: str = setting("verl-effective", metavar="NAME")
    """How tokens are summed. verl-effective: the mean over responses of their means, which the published runs optimised."""
    weights: str = setting("none", short="-w", metavar="NAME[:VALUE][+...]")
    """Token weights, remedies to be tried: preserve, kl-clip:0.1, ... See: epiverb ls weights."""
    teacher: Literal["fixed", "ema", "live", "trust-region"] = setting("fixed")
    """Stays, follows by --rate, is the student, or is mixed with the student's logits. As the paper: fixed."""
    rate: float = setting(0.05, metavar="X")
    """Of ema and trust-region: how far the teacher goes towards the student. As the paper's ablation."""
    teacher_rank: int | None = setting(None, metavar="N")
    """With --lora and ema: highest rank of the teacher's. Default: four times the student's."""
    sources: tuple[str, ...] = setting(("peer",), metavar="NAME")
    """Whose solution the teacher is shown, the first that there is, each time one: peer, dataset, feedback."""
    choose: str = setting("first", metavar="NAME")
    """Which right peer: first, random, shortest, longest, most-markers, fewest-markers. As the paper: first."""
    own: bool = setting(False)
    """A right response may be its own demonstration. As the paper: it may not."""
    threshold: float = setting(0.5, metavar="X")
    """Reward from which a response is right."""
    context: str = setting("solution@sdpo-yaml", metavar="NAME")
    """What the teacher is shown: s by default; solution-no-think@sdpo-yaml is s\\think. See: epiverb ls contexts."""
    max_reprompt: int | None = setting(None, metavar="N")
    """Tokens of the teacher's prompt; the demonstration is cut to fit. Default: what the model's window leaves."""
    contrast: str = setting("wrong@sdpo-yaml", metavar="NAME")
    """What a second teacher is shown, where a token weight asks for one."""
    blend: float = setting(0.0, metavar="SHARE")
    """Share of the GRPO loss beside the divergence. As the paper: none."""


@dataclass(frozen=True)
class Clips:
    """The policy loss: that of GRPO, and in SDPO the one that is blended or routed to."""

    scale: Literal["none", "group", "batch"] = setting("none")
    """Divide advantages by the deviation of rewards in the group or batch. As the paper: none (Dr. GRPO)."""
    clip_low: float = setting(0.2, metavar="X")
    """The ratio to the policy that sampled counts down to 1 - X. As the paper."""
    clip_high: float = setting(0.28, metavar="X")
    """And up to 1 + X. As the paper."""
    dual_clip: float | None = setting(3.0, metavar="X")
    """Largest ratio that counts where the advantage is negative; none: no limit. As the paper's code."""
    mask_truncated: bool = setting(False)
    """Leave out responses that were cut off. As the paper: they count as wrong."""


@dataclass(frozen=True)
class Rewarded:
    """GRPO: what else its loss is made of."""

    beta: float = setting(0.0, metavar="X")
    """Weight of the divergence from the model as it was. As the paper: 0, and no copy of it."""
    aggregate: str = setting("verl-effective", metavar="NAME")
    """How tokens are summed. verl-effective: the mean over responses of their means, which the published runs optimised."""
    weights: str = setting("none", short="-w", metavar="NAME[:VALUE][+...]")
    """Token weights, remedies to be tried: preserve, marker-reward:10, ... See: epiverb ls weights."""
    rollout_is_clip: float | None = setting(2.0, metavar="X")
    """Cap of the weight for what vLLM and the trainer disagree on; none: no weight. As the paper."""


@dataclass(frozen=True)
class Watching:
    """What is recorded, sampled and kept along the way."""

    lexicon: tuple[str, ...] = setting(DEFAULT_LEXICONS, short="-l", metavar="NAME|FILE")
    """Lexicons to match, each time one; the first is the one that is followed while training."""
    probe: tuple[str, ...] = setting((), metavar="NAME=SET[:N]")
    """A fixed set that is sampled and graded along the way, each time one: ood=math500:64."""
    probe_every: int = setting(10, metavar="STEPS")
    """Steps between two probes; one is taken before the first step. As the paper's evaluations."""
    probe_samples: int = setting(1, metavar="N")
    """Responses to each question of a probe. The paper: 16."""
    alarm: tuple[str, ...] = setting((), metavar="WHAT<VALUE")
    """Say when a figure leaves its bounds, each time one: markers<0.5x is less than half of what the model began with."""
    save_every: int = setting(10, metavar="STEPS")
    """Steps between two checkpoints. As the paper."""
    keep: int | None = setting(None, metavar="N")
    """Keep only the last N checkpoints. Default: all."""
    tracker: tuple[str, ...] = setting((), metavar="NAME")
    """Log to wandb, trackio or tensorboard too, each time one."""
    report: bool = setting(True)
    """Write report.html into the run folder at the end."""
    draws: int = setting(2000, metavar="N")
    """Bootstrap draws behind each interval."""


@dataclass(frozen=True)
class Fitting:
    """How the model is held in memory."""

    dtype: Literal["auto", "float32", "bfloat16"] = setting("auto")
    """Of the weights. auto: float32 that computes in bfloat16 on a GPU; bfloat16 under --lora; float32 on a CPU."""
    micro_batch: int = setting(1, metavar="N")
    """Responses that go through the model at once, on each GPU. As the paper."""
    checkpointing: bool = setting(True)
    """Compute activations again in the backward pass instead of keeping them."""
    lora: int | None = setting(None, metavar="RANK")
    """Train low-rank factors of all linear layers instead of the weights."""
    lora_alpha: float | None = setting(None, metavar="X")
    """Scale of the factors. Default: twice the rank."""
    lora_dropout: float = setting(0.0, metavar="P")
    """Dropout before the factors."""
    qlora: bool = setting(False)
    """With --lora: hold the frozen weights in 4 bits (needs bitsandbytes and an NVIDIA GPU)."""
    attention: str | None = setting(None, metavar="NAME")
    """Implementation of attention, such as flash_attention_2. Default: the library's."""
    trust_remote_code: bool = setting(False)
    """Run code that the model's repository brings."""
    gpus: int = setting(1, metavar="N")
    """For --dry-run only: GPUs to reckon with. A run uses the processes that accelerate launch starts."""
    shard: Literal["none", "fsdp2", "zero3"] = setting("none")
    """For --dry-run only: weights divided over the GPUs by FSDP2 or DeepSpeed ZeRO-3. See recipes/accelerate."""


@dataclass(frozen=True)
class SdpoConfig:
    """Train a model on its own responses by a teacher that has seen a solution (SDPO), and watch where its markers go.

    Example: epiverb train sdpo --model Qwen/Qwen3-1.7B --data dapo-math-17k --lora 32 --probe ood=math500:64 --out runs/sdpo
    Example: epiverb train sdpo -m Qwen/Qwen3-1.7B -d dapo-math-17k --weights preserve --alarm 'markers<0.5x' --out runs/kept
    """

    model: str = setting(short="-m", metavar="DIR|NAME")
    """Model folder or hub name."""
    data: tuple[str, ...] = setting(metavar="SET|FILE", short="-d")
    """Problems: a file, a folder, a named set, coverage:N@SET or reasoning-gym:NAME, each time one."""
    out: str | None = setting(None, short="-o", metavar="DIR")
    """Run folder. Default: epiverb-runs/, named after model and settings. An unfinished one is continued."""
    steps: int = setting(100, metavar="N")
    """Updates of the weights. The paper: 100 batches of questions, of 2 or 4 updates each."""
    lr: float = setting(1e-5, metavar="X")
    """Learning rate. As the paper: ten times that of GRPO."""
    distillation: Distilling = Distilling()
    """The loss and the teacher."""
    clips: Clips = Clips()
    """The policy loss, where --blend or a token weight has one."""
    rollouts: Rollouts = Rollouts()
    """Sampling."""
    problems: Asked = Asked()
    """Problems and prompts."""
    optimisation: Optimiser = Optimiser()
    """Updates."""
    watching: Watching = Watching()
    """Records, probes, checkpoints."""
    memory: Fitting = Fitting()
    """Memory."""
    seed: int = setting(0, metavar="N")
    """Seed of the order of problems, of sampling, and of the bootstrap."""
    overwrite: bool = setting(False)
    """Replace the run that --out holds. An unfinished run of the same settings is continued all the same."""


@dataclass(frozen=True)
class GrpoConfig:
    """Train a model by the grades of its responses (GRPO), and watch where its markers go.

    Example: epiverb train grpo --model Qwen/Qwen3-1.7B --data dapo-math-17k --lora 32 --probe ood=math500:64 --out runs/grpo
    Example: epiverb train grpo -m Qwen/Qwen3-1.7B -d dapo-math-17k --dry-run    # steps, memory, how to launch
    """

    model: str = setting(short="-m", metavar="DIR|NAME")
    """Model folder or hub name."""
    data: tuple[str, ...] = setting(metavar="SET|FILE", short="-d")
    """Problems: a file, a folder, a named set, coverage:N@SET or reasoning-gym:NAME, each time one."""
    out: str | None = setting(None, short="-o", metavar="DIR")
    """Run folder. Default: epiverb-runs/, named after model and settings. An unfinished one is continued."""
    steps: int = setting(100, metavar="N")
    """Updates of the weights. The paper: 100 batches of questions, of 2 or 4 updates each."""
    lr: float = setting(1e-6, metavar="X")
    """Learning rate. As the paper."""
    policy: Rewarded = Rewarded()
    """The loss."""
    clips: Clips = Clips()
    """Advantages and clips."""
    rollouts: Rollouts = Rollouts()
    """Sampling."""
    problems: Asked = Asked()
    """Problems and prompts."""
    optimisation: Optimiser = Optimiser()
    """Updates."""
    watching: Watching = Watching()
    """Records, probes, checkpoints."""
    memory: Fitting = Fitting()
    """Memory."""
    seed: int = setting(0, metavar="N")
    """Seed of the order of problems, of sampling, and of the bootstrap."""
    overwrite: bool = setting(False)
    """Replace the run that --out holds. An unfinished run of the same settings is continued all the same."""


@dataclass(frozen=True)
class Learned:
    """What of the examples is learned."""

    batch: int = setting(8, metavar="N")
    """Examples of a step. The paper does not say."""
    max_length: int = setting(16384, metavar="N")
    """Tokens of an example, prompt included; longer ones are left out and counted. arXiv 2603.15500: 16,384."""
    limit: int | None = setting(None, metavar="N")
    """Only the first N examples."""
    thinking: Literal["on", "off"] | None = setting(None)
    """Thinking in the prompts of examples that are chats, and of probes. Default: as the chat template does by itself."""
    probe_tokens: int = setting(1024, metavar="N")
    """Tokens that a response to a probe may have."""
    lenient: tuple[str, ...] = setting((), metavar="NAME")
    """Named deviations of the graders of probes from their strict rule, each time one."""
    domain: dict[str, str] = setting({}, metavar="BENCHMARK=id|ood")
    """Which benchmarks of probes are in-domain (id) and which out-of-domain (ood)."""


@dataclass(frozen=True)
class SftTrainConfig:
    """Fine-tune a model on responses, such as those of epiverb sft-data, and watch what its probes do with their markers.

    Example: epiverb train sft --model Qwen/Qwen3-1.7B --data sft/as-is/guided --lora 32 --probe ood=math500:64 --out runs/sft
    """

    model: str = setting(short="-m", metavar="DIR|NAME")
    """Model folder or hub name."""
    data: tuple[str, ...] = setting(metavar="SET|FILE", short="-d")
    """A set of epiverb sft-data (DIR/as-is/guided), or a JSONL file of prompt and completion, or of messages; each time one."""
    out: str | None = setting(None, short="-o", metavar="DIR")
    """Run folder. Default: epiverb-runs/, named after model and settings. An unfinished one is continued."""
    steps: int | None = setting(None, metavar="N")
    """Updates of the weights. Default: as --epochs tells."""
    epochs: float = setting(3.0, metavar="N")
    """Times that each example is learned from. The paper does not say; arXiv 2603.15500: 15."""
    lr: float = setting(5e-6, metavar="X")
    """Learning rate. The paper does not say; arXiv 2603.15500: 5e-6, cosine."""
    examples: Learned = Learned()
    """Examples."""
    optimisation: Optimiser = Optimiser()
    """Updates."""
    watching: Watching = Watching()
    """Records, probes, checkpoints."""
    memory: Fitting = Fitting()
    """Memory."""
    seed: int = setting(0, metavar="N")
    """Seed of the order of examples, of probes, and of the bootstrap."""
    overwrite: bool = setting(False)
    """Replace the run that --out holds. An unfinished run of the same settings is continued all the same."""
