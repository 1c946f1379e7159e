"""How the id of a user or an item reads: one rule for data sets, histories, candidates, vectors and semantic ids.

    a text              is taken as it is, without the blanks around it
    a whole number      is written in digits; the float 12.0, as pandas holds 12 in a column with gaps, is 12, but the
                        text 12.0 in a CSV file stays what it is (see `written_otherwise`)
    no value            is no id: None, NaN, and the texts that RecBole reads as such (see `MISSING`)

Whatever could not be written into a line of a data set's file and read back is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_specgr.system.errors import UserError, shown
from recbole_specgr.system.files import check_is_file
from recbole_specgr.system.text_files import conversion, unpacked

#: What pandas, and so RecBole, reads as "no value" in a text file.
MISSING = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
        *("-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    }
)
LONGEST = 1000  # characters of an id
_PADDING = "[PAD]"  # RecBole's own name of the item that fills short histories up
_NO_ID = MISSING | {_PADDING}
_EXACT_IN_FLOAT64 = 2**53
#: Control characters, breaks of a line or a paragraph, and halves of characters (lone surrogates).
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def read_id(value: object) -> str:
    """The id that `value` stands for; "" where there is none.

    Raises:
        UserError: it is a list, a mapping or a truth value; a number with lost digits; too long; or holds a control
            character. The message says what is wrong with the id, not where it stands.
    """
    if isinstance(value, str):
        text = value.strip()
    elif value is None or value is pd.NA or value is pd.NaT:
        return ""
    elif isinstance(value, bytes):
        text = _decoded(value).strip()
    elif isinstance(value, (bool, np.bool_, Iterable)):
        raise UserError(f"{shown(value)} is no id: ids must be texts or numbers, not truth values, lists or mappings.")
    elif isinstance(value, Real) and not isinstance(value, Integral):
        text = _of_float(value)
    else:
        text = _digits(value) if isinstance(value, Integral) else str(value)
    if text in _NO_ID:
        return ""
    if len(text) > LONGEST:
        raise UserError(
            f"the id {shown(text)} has {len(text):,} characters, but {LONGEST:,} are the most. Is it the column of "
            f"the ids?"
        )
    if found := _FORBIDDEN.search(text):
        raise UserError(
            f"the id {shown(text)} holds the control character U+{ord(found[0]):04X}, which no line of a data set's "
            f"file can hold. Rename it, or leave it out."
        )
    return text


def read_ids(values: Iterable[object], where: str) -> list[str]:
    """The id of each of `values`, as `read_id` reads it. UserErrors begin with `where` and the number, from 1."""
    found = []
    for number, value in enumerate(values, start=1):
        try:
            found.append(read_id(value))
        except UserError as error:
            raise UserError(f"{where} {number:,}: {error}") from error
    return found


def written_otherwise(tokens: Iterable[str], others: Iterable[str]) -> list[str]:
    """Those of the ids that the others have in the other writing of a whole number: 12 for 12.0, or 12.0 for 12.

    Whoever writes a column with gaps from pandas gets such texts, and then one user or item may be two.
    """
    others = set(others)
    found = []
    for token in tokens:
        whole = token.removesuffix(".0")
        if whole.isdecimal() and (f"{whole}.0" if whole == token else whole) in others:
            found.append(token)
    return found


def read_id_lines(path: Path) -> list[str]:
    """The ids of a text file with one a line; blank lines are skipped.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is not UTF-8, or a line is no id.
    """
    check_is_file(path)
    try:
        with open(path, "rb") as raw, unpacked(raw, path) as file:
            text = file.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8. Convert it, for example: {conversion(path)}") from error
    # Not splitlines(), which also cuts at characters that an id may not hold: they are to be said, not cut out.
    return [token for token in read_ids(text.split("\n"), f"{path}, line") if token]


def check_ids(tokens: Iterable[str], where: str) -> None:
    """Raise UserError for a token that is no id as `read_id` reads it, such as one with blanks around it."""
    tokens = list(tokens)
    if _plainly_ids(tokens):
        return
    for token in tokens:
        try:
            same = read_id(token) == token
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if not same:
            raise UserError(
                f"{where}: the id {shown(token)} has blanks around it, or means that there is no value. Take "
                f"them off, or let `recbole-specgr import-data` do it."
            )


def _plainly_ids(tokens: list[str]) -> bool:
    """All are ids of printable ASCII without blanks, as nearly all are; False says nothing. For millions of them."""
    text = "\n".join(tokens)
    if not text.isascii():
        return False
    characters = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    breaks = np.flatnonzero(characters <= ord(" "))
    return (
        len(breaks) == len(tokens) - 1
        and bool((characters[breaks] == ord("\n")).all())
        and not (characters == 0x7F).any()
        and max(map(len, tokens)) <= LONGEST
        and _NO_ID.isdisjoint(tokens)
    )


def _of_float(value: Any) -> str:
    """The id that a real number of any library is, whole ones without a point."""
    if value != value:
        return ""
    if abs(value) == float("inf"):
        raise UserError("an infinite number is no id.")
    if value != int(value):
        return str(value)
    if abs(value) > _EXACT_IN_FLOAT64:
        raise UserError(
            f"the id {value:.0f} is kept as a floating-point number, which has lost its last digits. Keep the ids as "
            f"texts or whole numbers."
        )
    return str(int(value))


def _digits(value: Integral) -> str:
    number = int(value)
    if number.bit_length() > 4 * LONGEST:  # Python refuses to write the longest numbers at all
        raise UserError(f"a number of more than {LONGEST:,} digits is no id. Is it the column of the ids?")
    return str(number)


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"the id {value[:40]!r} is not UTF-8. Keep the ids as texts.") from error
