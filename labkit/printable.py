"""Text of others (a model's, a verifier's, a file's) made safe to print: nothing in it can steer a terminal."""

import re

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: ESC, and with it CSI and OSC; their one-byte forms (C1)
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # unseen, or turning the direction
    "\ud800-\udfff"  # halves of a character, which no console can encode
    "\U000e0000-\U000e007f]"  # tags: letters that are not seen
)
LINES = "\n\t"
"""What a text of several lines keeps."""
_NAMES = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


def printable(text: object, keep: str = "") -> str:
    r"""The text with every character that steers a terminal or cannot be seen written as an escape; those in `keep`
    (a line break, say) stay as they are.

    >>> print(printable("\x1b[2Jgone\r", keep="\n"))
    \x1b[2Jgone\r
    >>> print(printable("a\nb\u202ec"), printable("a\nb", keep="\n").count("\n"))
    a\nb\u202ec 1
    """
    return _STEERING.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), str(text))


def _escaped(character: str) -> str:
    number = ord(character)
    return _NAMES.get(character) or (
        f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    )
