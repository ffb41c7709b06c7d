"""A scanner for Inspect Scout: the markers of every assistant message of a transcript, with references to the messages.

    from epiverb.integrations.scout import epistemic_scanner
    inspect_scout.scan([epistemic_scanner()], inspect_scout.transcripts_from("logs/"))

The value is the number of epistemic markers; the explanation shows each in its place behind a citation such as [M3], which
Scout's viewer turns into a link; the metadata holds every hit with offsets. `scout scan` takes the path of this file.
"""

from __future__ import annotations

from epiverb.errors import MissingExtra
from epiverb.integrations.cited import cited

try:
    from inspect_scout import Reference, Result, Scanner, Transcript, scanner
except ImportError as error:
    raise MissingExtra("inspect-scout", "scout") from error


@scanner(messages="all")
def epistemic_scanner(lexicon: str = "epiverb-en") -> Scanner[Transcript]:
    """The scanner.

    Args:
        lexicon: name or TOML file.
    """

    async def scan(transcript: Transcript) -> Result:
        numbered = list(enumerate(transcript.messages, 1))
        said = [(f"[M{number}]", message.id, message) for number, message in numbered if message.role == "assistant"]
        asked = "\n".join(message.text for message in transcript.messages if message.role == "user")
        found = cited(said, lexicon, asked)
        return Result(
            value=found["count"],
            explanation=found["explanation"],
            metadata=found["metadata"],
            references=[Reference(**reference) for reference in found["references"]],
        )

    return scan
