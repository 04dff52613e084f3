"""Words to the numbers of CLIP's table: OpenAI's byte pairs for all of English, or the small model's few.

Byte pairs are those of clip-anytorch, which is asked for them alone. The small model keeps its own list: as
pairs never join across words, a text's numbers are those of its words, one after the other.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from stylegan_toon.checkpoint.importers.clip import BEGIN, END, used
from stylegan_toon.errors import UsageError
from stylegan_toon.features.compat import clip_module

# As in OpenAI's tokenizer: endings after an apostrophe, letters, single digits, other signs.
PIECE = re.compile(r"'(?:s|t|re|ve|m|ll|d)|[^\W\d_]+|\d|(?:[^\w\s]|_)+")


class Words:
    """The words that a small model was trained on."""

    def __init__(self, known: Mapping[str, Sequence[int]]):
        """known: each word's numbers in OpenAI's table."""
        row = {number: i for i, number in enumerate(used(known))}
        self.rows = {word: [row[number] for number in numbers] for word, numbers in known.items()}
        self.begin, self.end = row[BEGIN], row[END]

    def encode(self, text: str) -> list[int]:
        """The rows of a text. Raises: UsageError naming the words that are not known."""
        pieces = PIECE.findall(text.lower())
        if unknown := list(dict.fromkeys(piece for piece in pieces if piece not in self.rows)):
            names = ", ".join(f'"{piece[:20]}"' for piece in unknown[:3])
            are = "is not a word" if len(unknown) == 1 else "are not words"
            real = "stylegan-toon models get clip-vit-b-32, then --clip clip-vit-b-32"
            raise UsageError(f"{names} {are} this small model knows; for all of English: {real}")
        return [row for piece in pieces for row in self.rows[piece]]


class BytePairs:
    """OpenAI's byte pairs, as clip-anytorch brings them; nothing is looked for before the first text."""

    begin, end = BEGIN, END

    @cached_property
    def tokenizer(self) -> Any:
        return clip_module("simple_tokenizer").SimpleTokenizer()

    def encode(self, text: str) -> list[int]:
        """The numbers of a text. Raises: MissingPartError without clip-anytorch, ftfy or regex."""
        return self.tokenizer.encode(text)
