"""The table of commands: where the config, the verb and the printer of each are, and what each is for."""

from __future__ import annotations

import dataclasses


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
    code: str = ""
    """Called at the end with what the verb returned; gives the exit code, for commands that judge."""
    small_matrices: bool = False
    """numpy multiplies on one thread: to wake others for its few small matrices costs more than all they do."""


COMMANDS: dict[str, Command] = {
    "analyze": Command(
        "epiverb.configs.analyze:AnalyzeConfig",
        "epiverb.verbs.workers:analyze",
        "epiverb.cli.summary:print_run",
        "epiverb.verbs.analyze:document",
        "epiverb.cli.summary:run_notes",
        small_matrices=True,
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
    **{
        f"train {method}": Command(
            f"epiverb.configs.train:{name}",
            "epiverb.verbs.train:train",
            "epiverb.cli.training:print_training",
            "epiverb.verbs.train:document",
            "epiverb.cli.training:notes",
            "epiverb.cli.training:progress",
        )
        for method, name in (("sft", "SftTrainConfig"), ("grpo", "GrpoConfig"), ("sdpo", "SdpoConfig"))
    },
    "demo": Command(
        "epiverb.configs.demo:DemoConfig",
        "epiverb.verbs.demo:demo",
        "epiverb.cli.demo:print_demo",
        progress="epiverb.cli.demo:progress",
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
        code="epiverb.cli.gate:exit_code",
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
    "doctor": Command(
        "epiverb.configs.look:DoctorConfig",
        "epiverb.verbs.doctor:doctor",
        "epiverb.cli.doctor:print_checks",
        code="epiverb.cli.doctor:exit_code",
    ),
    "lab pretrain": Command(
        "epiverb.configs.lab:LabPretrainConfig",
        "epiverb.verbs.lab:pretrain",
        "epiverb.cli.lab:print_pretrained",
        progress="epiverb.cli.lab:progress",
    ),
    "claims run": Command(
        "epiverb.configs.claims:ClaimsRunConfig",
        "epiverb.verbs.claims:claims_run",
        "epiverb.cli.claims:print_scorecard",
        notes="epiverb.cli.claims:notes",
        progress="epiverb.cli.claims:progress",
    ),
    "claims show": Command(
        "epiverb.configs.claims:ClaimsShowConfig",
        "epiverb.verbs.claims:claims_show",
        "epiverb.cli.claims:print_scorecard",
        notes="epiverb.cli.claims:notes",
    ),
    "config": Command(
        "epiverb.configs.look:PrintConfig", "epiverb.cli.settings:show_config", "epiverb.cli.settings:print_config"
    ),
}

SHORT = {
    "analyze": "Trace files to markers, trajectories and a report.",
    "sample": "Responses to problems, with or without a context, graded and analysed.",
    "eval": "A model on benchmarks, as published.",
    "score": "What a model computes about a run's traces: entropy, information, pressure.",
    "sft-data": "Sets for fine-tuning from correct responses.",
    "train sft": "Fine-tune on responses.",
    "train grpo": "Train by the grades of a model's own responses.",
    "train sdpo": "Train on a model's own responses by a teacher that has seen a solution.",
    "compare": "What changed from one run to another.",
    "link": "Changes in markers against changes in accuracy.",
    "plan": "How many problems and samples a question needs.",
    "validate": "Precision and recall of a lexicon.",
    "grade": "Responses graded anew, beside the stored grades.",
    "show": "One trace with its markers coloured.",
    "ls": "Lexicons, formats, measures, tables.",
    "doctor": "What is installed and works here, and what to do about the rest.",
    "lexicon": "Check or show a lexicon.",
    "demo": "The effect on this computer: two trainings, and a page that tells them.",
    "lab pretrain": "A base of the lab, from scratch.",
    "claims run": "The runs behind the papers' claims, and a verdict on each.",
    "claims show": "The claims, their rules, and the shipped results.",
    "config": "The settings of a command as YAML.",
}

GROUPS = {
    "train": "Train a model and watch its markers: fine-tuning, GRPO, self-distillation.",
    "claims": "What the papers claim, tested by rules fixed beforehand.",
    "lab": "The small world in which the effect can be seen on a laptop.",
}
"""The first word of commands of two words."""
