"""Which model --clip means."""

import sys
from pathlib import Path

import pytest
import torch

from stylegan_toon.errors import ModelError
from stylegan_toon.features.clip import CLIP, Config
from stylegan_toon.features.clip_words import BytePairs, Words
from stylegan_toon.pipelines.clip import open_clip

TINY = Config(
    embed=4, size=8, patch=8, width=64, layers=1, text_width=64, text_layers=1, context=9, tokens=49_408
)


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for OpenAI's ViT-B/32 in the folder of fetched models."""
    monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    torch.save(CLIP(TINY).state_dict(), tmp_path / "models/ViT-B-32.pt")
    return tmp_path / "models/ViT-B-32.pt"


def test_a_name_of_openais_or_of_the_list_and_a_file_open_the_same(fetched: Path) -> None:
    x = torch.rand(1, 3, 8, 8)
    wanted = open_clip(fetched).image(x)
    for name in ("ViT-B/32", "clip-vit-b-32", "ViT-B-32.pt"):
        assert torch.equal(open_clip(name).image(x), wanted)


def test_without_a_name_the_small_one_is_taken_unless_the_real_one_can_read_words(
    fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setitem(sys.modules, "_clip_anytorch_simple_tokenizer", None)  # gone again afterwards
    monkeypatch.delitem(sys.modules, "_clip_anytorch_simple_tokenizer")
    assert isinstance(open_clip(report=said.append).words, Words)
    (fetched.parent / "clip").mkdir()
    (fetched.parent / "clip/simple_tokenizer.py").write_text("class SimpleTokenizer: pass\n")
    (fetched.parent / "clip/__init__.py").write_text("")
    monkeypatch.setattr("sys.path", [str(fetched.parent)])
    assert isinstance(open_clip(report=said.append).words, BytePairs)
    assert "clip-faces" in said[0] and "clip-vit-b-32" in said[1]
    assert isinstance(open_clip("clip-faces").words, Words)
    fetched.unlink()
    assert isinstance(open_clip().words, Words)


@pytest.mark.parametrize(
    "name, remedy",
    [
        ("ViT-B/16", "models get clip-vit-b-16"),
        ("clip-vit-l-14", "models get"),
        ("RN50", "models list"),
        ("", "models list"),
    ],
)
def test_a_model_that_is_not_here_says_how_to_get_it(name: str, remedy: str) -> None:
    with pytest.raises(ModelError) as refused:
        open_clip(name)
    assert remedy in str(refused.value) and "\n" not in str(refused.value)
