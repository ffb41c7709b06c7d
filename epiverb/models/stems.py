"""Answer stems: what is put behind a broken-off thinking so that the model states its answer. Data, with their sources."""

from __future__ import annotations

from dataclasses import dataclass

from epiverb.errors import ConfigError, nearest


@dataclass(frozen=True)
class Stem:
    """The words between the end of the thinking and an answer, and what closes the answer."""

    lead: str
    """Between the broken-off thinking and the closing tag."""
    text: str
    """Between the closing tag and the answer; goes on in one encoding with the answer."""
    end: str
    """Scored with the answer. Where there is none, an answer that begins another one (12, 120) is favoured over it."""
    source: str


STEMS: dict[str, Stem] = {
    "boxed": Stem(
        "\n",
        "\n\n**Final Answer**\n\\boxed{",
        "}",
        "The form in which DeepSeek-R1 and Qwen3 state answers that their graders read. The brace closes the answer, so "
        "that no answer begins another.",
    ),
    "final-answer": Stem(
        "",
        " Final answer: ",
        "",
        "Suffix `</think> Final answer:` of EAT (arXiv 2509.26522, xidulu/EAT generate_answer_rollouts.py). Ours differs: "
        "answers are scored, not sampled, unless `sampled` is asked for, hence the space behind the colon.",
    ),
    "final-answer-line": Stem(
        "\n",
        "\nFinal answer: ",
        "",
        "Suffix of xidulu/EAT@5638ef5 compute_entropy_ngram.py with `include_final_answer_str`.",
    ),
}


def stem(name: str) -> Stem:
    """The stem called `name`; raises `ConfigError` that suggests the nearest."""
    if name not in STEMS:
        raise ConfigError(f"unknown answer stem {name!r}.{nearest(name, STEMS)}")
    return STEMS[name]
