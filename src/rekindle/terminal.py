"""What reaches a person's terminal: text, and never a command to the terminal that a host, an API or a file wrote."""

import json
import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

# C0 but tab and newline, DEL, C1, and what reorders or hides text (Unicode's Bidi_Control and other format
# characters, line and paragraph separators, lone surrogates, tags; UAX 9 and UTR 36).
COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def displayable(text: str) -> str:
    r"""The text with all that commands a terminal spelt out, as JSON spells it: ESC is \u001b."""
    return COMMANDS.sub(lambda found: json.dumps(found[0])[1:-1].replace("\x7f", r"\u007f"), text)


class Terminal(Console):
    """A console whose colours are its own: whatever text it is given, it shows as text."""

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=displayable(segment.text))
