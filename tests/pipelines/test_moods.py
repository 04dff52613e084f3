"""Expressions in texts, by hand; words that the shipped text model knows."""

import pytest

from stylegan_toon.features.clip import load_clip
from stylegan_toon.pipelines.moods import mood_of, opposites


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("a really sad face", ["a really angry face", "a really happy face", "a really surprised face"]),
        ("an angry man with a beard", ["a sad man with a beard", "a happy man with a beard",
                                       "a surprised man with a beard"]),
        ("a smiling woman", ["a sad woman", "an angry woman", "a surprised woman"]),
        ("a face with red hair", ["a face"]),
        ("a face full of grief", ["a face"]),
    ],
)  # fmt: skip
def test_an_expression_is_compared_to_the_others(text, wanted):
    assert list(opposites(text, load_clip())) == wanted


def test_the_mood_of_a_text_is_the_expression_that_it_names_first():
    assert mood_of("A really SAD face") == "sad" and mood_of("an unhappy man") == "sad"
    assert mood_of("a smiling face, not angry") == "happy" and mood_of("furious") == "angry"
    assert mood_of("a face with red hair") is None and mood_of("a nomad") is None
