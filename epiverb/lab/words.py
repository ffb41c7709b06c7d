"""The vocabulary: every token as the text that it stands for. A text of these words is cut into them greedily, longest first."""

from __future__ import annotations

import re

from epiverb.contexts.templates import TEMPLATES
from epiverb.lab.world import LARGEST
from epiverb.problems.prompts import BOXED

PAD, START, END, UNKNOWN = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|unknown|>"
SPECIAL = (PAD, START, END, UNKNOWN)
THINK, THOUGHT = "<think>", "</think>"
TAGS = (THINK, THOUGHT)

TURNS = ("system\n", "user\n", "assistant\n", "\n", "\n\n", " ")
QUESTION = ("Reach ", " from ", " and ", " with + -.", " with + - *.", " with + - * /.", BOXED)
SHOWN = ("Correct solution:", "Correct answer:", "Correctly solve the original question.")
ASKED = tuple(TEMPLATES[name].reprompt.rpartition("}")[2].strip() for name in ("uncertain", "direct", "concise"))
"""The requests for a manner of writing, each one token."""
NUMBERS = tuple(map(str, range(LARGEST + 1)))
MATHEMATICS = (" + ", " - ", " * ", " / ", " = ", "(", ")", "\\boxed{", "}", "The answer is ")
STOPS = (", ", ". ", ".", ": ")
PLAIN = (
    "First", "Next", "Now ", "Let me ", "try ", "So ", "that is ", " too ", "big", "small", "right",
    " is ", "not ", "It ", "be ", "That ",
)  # fmt: skip
MARKERS = (
    "Wait", "Hmm", "Maybe ", "Perhaps ", "might ", "seems ", "likely", "Alternatively", "Actually", "What if ", "check",
    "a mistake",
)  # fmt: skip
"""What carries a marker of the ordinary lexicons: each is a token of its own."""

WORDS = (*TURNS, *QUESTION, *SHOWN, *ASKED, *NUMBERS, *MATHEMATICS, *STOPS, *PLAIN, *MARKERS)
PATTERN = "|".join(
    re.escape(word).replace("\\ ", " ") for word in sorted((*SPECIAL, *TAGS, *WORDS), key=len, reverse=True)
)
"""What the tokenizer splits by."""
IDS = {word: i for i, word in enumerate((*SPECIAL, *TAGS, *WORDS))}
_PIECE = re.compile(PATTERN)


def split(text: str) -> list[str]:
    """The tokens of a text; each stretch that holds none is one piece, which the tokenizer does not know."""
    pieces, place = [], 0
    for match in _PIECE.finditer(text):
        if match.start() > place:
            pieces.append(text[place : match.start()])
        pieces.append(match.group())
        place = match.end()
    return [*pieces, text[place:]] if place < len(text) else pieces


def encode(text: str) -> list[int]:
    """The ids of a text, as the tokenizer gives them."""
    unknown = IDS[UNKNOWN]
    return [IDS.get(piece, unknown) for piece in split(text)]


def question(numbers: tuple[int, ...], target: int, signs: str) -> str:
    """How a puzzle is asked."""
    *before, last = map(str, numbers)
    return f"Reach {target} from {', '.join(before)} and {last} with {' '.join(signs)}.\n{BOXED}"


def rendered(content: str, *, think: bool) -> str:
    """A question as the chat template renders it, up to where the response begins.

    Args:
        think: False: behind an empty block of thinking, as the template of a base that does not think has it.
    """
    closed = "" if think else f"{THINK}\n\n{THOUGHT}\n\n"
    return f"{START}user\n{content}{END}\n{START}assistant\n{closed}"
