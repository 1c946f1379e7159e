"""Words of many languages, and lsa on texts without blanks."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_specgr.text.features import encode_lsa
from recbole_specgr.text.lsa import LSA
from recbole_specgr.text.words import word_pattern


@given(st.text(st.characters(max_codepoint=127)))
def test_words_of_ascii_text_are_those_of_always(text):
    assert re.findall(word_pattern(), text) == re.findall(r"\w+", text)


@pytest.mark.parametrize(
    "words",
    [
        "caf\u00e9 e\u0301t\u00e9",
        "\u0432\u043e\u0439\u043d\u0430 \u0438 \u043c\u0438\u0440",
        "\u0939\u093f\u0928\u094d\u0926\u0940 \u0915\u093f\u0924\u093e\u092c",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0646\u0645 \u06a9\u062a\u0627\u0628",
        "\ud55c\uad6d \ub3c4\uc11c",
    ],
    ids=["French", "Russian", "Hindi", "Persian", "Korean"],
)
def test_words_between_blanks_stay_whole(words):
    assert re.findall(word_pattern(), words) == words.split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iPhone\u624b\u673a\uff0c2\u4e2a", "iPhone \u624b \u673a 2 \u4e2a"),
        ("\u30b2\u30fc\u30e0\u30fb\u3042", "\u30b2 \u30fc \u30e0 \u3042"),
        ("\u0e17\u0e35\u0e48\u0e14\u0e34\u0e19", "\u0e17\u0e35\u0e48 \u0e14\u0e34 \u0e19"),
    ],
    ids=["Chinese", "Japanese", "Thai"],
)
def test_characters_are_the_words_of_scripts_without_blanks(text, words):
    assert re.findall(word_pattern(), text) == words.split()


def chinese_texts(n=60) -> tuple[list[str], np.ndarray]:
    """Texts of one of two topics, each with characters of its own, without a blank; and the topic of each."""
    rng = np.random.default_rng(5)
    topics = rng.integers(2, size=n)
    alphabets = ["".join(map(chr, range(0x4E00 + 40 * topic, 0x4E00 + 40 * topic + 30))) for topic in range(2)]
    return ["".join(rng.choice(list(alphabets[topic]), 8)) for topic in topics], topics


def test_lsa_of_text_without_blanks_is_that_of_its_characters():
    texts, _ = chinese_texts()
    seen = np.arange(len(texts)) < 45
    together = encode_lsa(texts, seen, 8, seed=0)
    np.testing.assert_array_equal(together, encode_lsa([" ".join(text) for text in texts], seen, 8, seed=0))
    assert together.any(axis=1).all()


def test_lsa_tells_topics_of_unseen_chinese_items_apart():
    texts, topics = chinese_texts()
    seen = np.arange(len(texts)) < 45
    vectors = encode_lsa(texts, seen, 2, seed=0)
    among = vectors[~seen] @ vectors[seen].T
    same = topics[~seen][:, None] == topics[seen]
    assert among[same].min() > 0.9 and np.abs(among[~same]).max() < 0.1


def test_a_saved_lsa_of_chinese_text_encodes_the_same(tmp_path):
    texts, _ = chinese_texts()
    lsa = LSA.fit(texts, 8, seed=0)
    lsa.save(tmp_path / "lsa.npz")
    np.testing.assert_array_equal(LSA.load(tmp_path / "lsa.npz").encode(texts), lsa.encode(texts))
