"""What counts as a word of a text, in any language: one regular expression."""

import unicodedata
from functools import cache
from itertools import chain

# Scripts without blanks between words, as ranges of a regular expression.
_WITHOUT_BLANKS = "".join(
    (
        "\u0e00-\u0eff",  # Thai, Lao
        "\u0f00-\u0fff",  # Tibetan
        "\u1000-\u109f\uaa60-\uaa7f",  # Burmese
        "\u1780-\u17ff",  # Khmer
        "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f",  # Japanese kana and iteration marks
        "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",  # Chinese characters
    )
)


# Where Unicode has marks: past ASCII and Latin 1, up to the Chinese characters of plane 2, and variation selectors.
_PLACES = (range(0x300, 0x20000), range(0xE0100, 0xE01F0))
_JOINERS = "\u200c\u200d"  # of letters, in Persian and in languages of India


@cache
def word_pattern() -> str:
    """A regular expression: a character of a script without blanks, with its marks; or a run of other letters, digits,
    underscores and marks. Of text in ASCII these are the matches of `\\w+`.
    """
    marks = _marks() + _JOINERS
    return rf"(?=\w)[{_WITHOUT_BLANKS}][{marks}]*|(?:(?![{_WITHOUT_BLANKS}])[\w{marks}])+"


def _marks() -> str:
    """Ranges of the characters that modify the one before: accents, and vowel signs of many scripts.

    Python's `\\w` leaves them out, which would cut words of Hindi or Arabic at every vowel.
    """
    found: list[list[int]] = []
    for code in chain(*_PLACES):
        if unicodedata.category(chr(code)).startswith("M"):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in found)
