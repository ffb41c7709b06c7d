"""Model, tokenizer and the trainer's arguments, from the settings."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.configs.train import SftTrainConfig
from epiverb.errors import ConfigError, EngineError
from epiverb.models.loading import load_model, load_tokenizer, require
from epiverb.verbs.training.folder import CHECKPOINTS, local_rank

if TYPE_CHECKING:
    from epiverb.configs.train import GrpoConfig, SdpoConfig
    from epiverb.verbs.training.plan import Batches

    Any3 = GrpoConfig | SdpoConfig | SftTrainConfig

SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


def tokenizer_of(config: Any3) -> Any:
    """The tokenizer of the model, which must have a chat template to ask problems by."""
    tokenizer = load_tokenizer(config.model, trust_remote_code=config.memory.trust_remote_code)
    if not tokenizer.chat_template and not isinstance(config, SftTrainConfig):
        raise EngineError(
            f"{config.model} has no chat template, and problems are asked as chats. "
            "Give a model whose tokenizer has one, or put chat_template.jinja into its folder."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def computes_in_bfloat16(config: Any3) -> bool:
    """Whether layers compute in bfloat16, whatever the weights are held in: on a GPU that can."""
    import torch

    return config.memory.dtype != "float32" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def model_of(config: Any3) -> Any:
    """The model to be trained; adapters in its folder are merged into it.

    Raises:
        EngineError: it cannot be loaded. MissingExtra: a package is missing.
    """
    import torch

    fitting = config.memory
    low = fitting.dtype == "bfloat16" or (fitting.dtype == "auto" and fitting.lora and computes_in_bfloat16(config))
    options: dict[str, Any] = {"dtype": torch.bfloat16 if low else torch.float32}
    if fitting.attention:
        options["attn_implementation"] = fitting.attention
    if fitting.qlora:
        options |= _quantised()
    adapters = (Path(config.model) / "adapter_config.json").is_file()
    if adapters and fitting.qlora:
        raise ConfigError(
            f"{config.model} holds adapters, which cannot be merged into weights of 4 bits. Leave --qlora out."
        )
    if adapters:
        peft = require("peft", "train")
        return peft.AutoPeftModelForCausalLM.from_pretrained(config.model, **options).merge_and_unload()
    return load_model(config.model, trust_remote_code=fitting.trust_remote_code, **options)


def _quantised() -> dict[str, Any]:
    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError("--qlora: bitsandbytes is not installed. Install it with: pip install bitsandbytes")
    if not torch.cuda.is_available():
        raise ConfigError("--qlora: weights of 4 bits need an NVIDIA GPU, and there is none. Leave --qlora out.")
    from transformers import BitsAndBytesConfig

    bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": bits, "device_map": {"": local_rank()}}


def adapters_of(config: Any3) -> Any:
    """The configuration of LoRA; None: the weights themselves are trained."""
    fitting = config.memory
    if not fitting.lora:
        return None
    return require("peft", "train").LoraConfig(
        r=fitting.lora,
        lora_alpha=2 * fitting.lora if fitting.lora_alpha is None else fitting.lora_alpha,
        lora_dropout=fitting.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def arguments(config: Any3, out: Path, work: Batches, steps: int) -> dict[str, Any]:
    """The arguments that all trainers share."""
    import torch

    low = computes_in_bfloat16(config)
    return {
        "output_dir": str(out / CHECKPOINTS),
        "max_steps": steps,
        "learning_rate": config.lr,
        "lr_scheduler_type": SCHEDULES[config.optimisation.schedule],
        "warmup_steps": config.optimisation.warmup,
        "weight_decay": config.optimisation.weight_decay,
        "max_grad_norm": config.optimisation.max_grad_norm,
        "optim": config.optimisation.optimizer,
        "per_device_train_batch_size": work.micro,
        "gradient_accumulation_steps": work.accumulation,
        "gradient_checkpointing": config.memory.checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "bf16": low,
        "tf32": low or None,
        "use_cpu": not torch.cuda.is_available() and not torch.backends.mps.is_available(),
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a step that is not finite is to be seen
        "disable_tqdm": True,
        "report_to": list(config.watching.tracker) or "none",
        "run_name": out.name,
        "save_strategy": "steps",
        "save_steps": config.watching.save_every,
        "remove_unused_columns": False,
        "shuffle_dataset": True,
    }


def rollout_arguments(config: GrpoConfig | SdpoConfig, work: Batches, switch: dict[str, bool]) -> dict[str, Any]:
    """The arguments of those that sample."""
    rollouts = config.rollouts
    arguments = {
        "num_generations": rollouts.samples,
        "steps_per_generation": work.accumulation * work.updates,
        "max_completion_length": rollouts.max_tokens,
        "temperature": rollouts.temperature,
        "top_p": rollouts.top_p,
        "top_k": rollouts.top_k,
        "chat_template_kwargs": switch,
    }
    if rollouts.vllm != "off":
        if importlib.util.find_spec("vllm") is None:
            raise ConfigError(
                f"--vllm {rollouts.vllm}: vllm is not installed. Install it with: pip install 'epiverb[vllm]'"
            )
        arguments |= {
            "use_vllm": True,
            "vllm_mode": rollouts.vllm,
            "vllm_server_base_url": rollouts.vllm_url or "http://localhost:8000",
            "vllm_gpu_memory_utilization": rollouts.vllm_memory,
            "vllm_tensor_parallel_size": rollouts.vllm_gpus,
            "vllm_enable_sleep_mode": rollouts.vllm_sleep,
            "vllm_max_model_length": config.problems.max_prompt + rollouts.max_tokens,
        }
    return arguments
