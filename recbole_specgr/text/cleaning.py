"""What becomes of the text of an item before it is encoded: the choices of the setting `text_cleaning`."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable

from recbole_specgr.system.errors import UserError

_TAG = re.compile(r"<[^>]+>")
_BREAK = re.compile(r"[\n\r\t]")
_BLANKS = re.compile(r" +")
_NON_ASCII = re.compile(r"[^\x00-\x7F]")
#: A tag or a comment, and not what only looks like the start of one, as in `1 < 2 > 0` or `I <3 you`.
_MARKUP = re.compile(r"<!--.*?-->|<[/!?]?[A-Za-z][^<>]*>", re.DOTALL)
#: Tags between which text stands apart: paragraphs, lines, entries of lists, cells.
_APART = re.compile(
    r"</?(?:br|hr|p|div|section|article|blockquote|pre|h[1-6]|ul|ol|li|dl|dt|dd|table|thead|tbody|tr|td|th)\b[^<>]*>",
    re.IGNORECASE,
)
#: Blanks of all kinds, control characters, halves of characters (lone surrogates), and byte order marks.
_NOT_TEXT = re.compile("[\\s\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff]+")


def clean_unicode(text: str) -> str:
    """Text of any language: HTML entities resolved, tags and control characters out, characters in the composed form
    of Unicode (NFC), so that an accented letter is the same however it was typed. What stands on lines, in entries or
    in cells of its own is kept apart by a blank."""
    plain = _MARKUP.sub("", _APART.sub(" ", html.unescape(text)))
    return _NOT_TEXT.sub(" ", unicodedata.normalize("NFC", plain)).strip()


def clean_ascii(text: str) -> str:
    """As the paper cleans Amazon Reviews 2023: HTML entities resolved, tags out; line breaks, tabs and all characters
    beyond ASCII become blanks. Nothing is left of a text in Chinese, and the digits of one in Russian."""
    text = _TAG.sub("", html.unescape(text).strip())
    return _NON_ASCII.sub(" ", _BLANKS.sub(" ", _BREAK.sub(" ", text)))


CLEANERS: dict[str, Callable[[str], str]] = {"unicode": clean_unicode, "ascii": clean_ascii}


def cleaner(name: str) -> Callable[[str], str]:
    """The function for a value of `text_cleaning`. Raises UserError where there is none."""
    if name not in CLEANERS:
        raise UserError(f"text_cleaning [{name}] must be {' or '.join(CLEANERS)}.")
    return CLEANERS[name]
