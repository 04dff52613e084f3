"""Names and files of models; converting and blending them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import stylegan_toon
from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.errors import DiskError, ModelError, UsageError
from stylegan_toon.pipelines import catalogue
from stylegan_toon.pipelines.blend import blend_files
from stylegan_toon.pipelines.convert import convert
from stylegan_toon.pipelines.models import (
    find_model,
    load_discriminator,
    load_generator,
    parent_name,
    pretrained,
)
from stylegan_toon.stylegan2.adapters import style_checkpoint
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.files import build_generator, discriminator_checkpoint, generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from tests.stylegan2 import reference

CONFIG = Config(16, (6, 5, 4), z_dim=8, w_dim=8, mapping_layers=1)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with a run, and models added beside those that ship."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(tmp_path / "home"))
    models = tmp_path / "home" / "models"
    for seed, name in enumerate(("zebra-16", "zebra-128", "zebra-64")):
        torch.manual_seed(seed)
        save(models / f"{name}.generator.safetensors", generator_checkpoint(Generator(CONFIG), {"is": name}))
    save(models / "zebra-128.discriminator.safetensors", discriminator_checkpoint(Discriminator(CONFIG)))
    save(tmp_path / "runs" / "mine" / "best.safetensors", generator_checkpoint(Generator(CONFIG)))
    save(tmp_path / "runs" / "mine" / "best.discriminator.safetensors",
         discriminator_checkpoint(Discriminator(CONFIG)))  # fmt: skip
    save(tmp_path / "runs" / "young" / "last.safetensors", generator_checkpoint(Generator(CONFIG)))
    return tmp_path


def test_a_model_is_a_file_a_run_or_a_known_name(home):
    models = home / "home" / "models"
    assert find_model("zebra-16") == models / "zebra-16.generator.safetensors"
    assert find_model("zebra") == models / "zebra-128.generator.safetensors"  # the largest
    assert find_model("zebra", "discriminator") == models / "zebra-128.discriminator.safetensors"
    assert find_model("mine").samefile("runs/mine/best.safetensors")
    assert find_model("runs/mine").samefile("runs/mine/best.safetensors")
    assert find_model("mine", "discriminator").samefile("runs/mine/best.discriminator.safetensors")
    assert find_model("young").samefile("runs/young/last.safetensors")
    assert find_model("runs/mine/best.safetensors").samefile("runs/mine/best.safetensors")
    assert {"zebra", "zebra-16", "zebra-64", "zebra-128"} <= set(pretrained())
    g, d = load_generator("zebra"), load_discriminator("zebra", "cpu")
    assert d(g(torch.randn(2, 8), 0.7)).shape == (2,)
    assert load_discriminator("runs/mine/best.safetensors").config == CONFIG
    assert isinstance(stylegan_toon.load_generator("mine"), Generator)


def test_a_style_file_among_the_added_models_is_found_by_its_name(home):
    parent = load(home / "home" / "models" / "zebra-16.generator.safetensors")
    child = build_generator(parent, trainable=True)
    with torch.no_grad():
        child.synthesis.blocks[2].to_rgb.bias += 0.5
    file = home / "home" / "models" / "drawn-16.style.safetensors"
    save(file, style_checkpoint(child, parent, parent_name(find_model("zebra-16")), 0, 1, {}))
    assert load(file).config["name"] == "zebra-16" and find_model("drawn") == file
    drawn = load_generator("drawn")
    for mine, wanted in zip(drawn.parameters(), child.parameters(), strict=True):
        torch.testing.assert_close(mine, wanted.detach())
    save(
        file.with_name("drawn-16.discriminator.safetensors"), discriminator_checkpoint(Discriminator(CONFIG))
    )
    assert load_discriminator(file).config == CONFIG
    (home / "deep" / "er").mkdir(parents=True)
    names = {"deep/er/x.safetensors": "deep/er/x", "runs/mine/last.safetensors": "runs/mine",
             "/an/other/best.safetensors": "other", "C:x.safetensors": "parent", "x.pt": "x.pt"}  # fmt: skip
    assert {name: parent_name(Path(name)) for name in names} == names


def test_an_unknown_name_is_answered_with_the_known_ones(home):
    with pytest.raises(ModelError, match=r"zebra.*mine"):
        load_generator("zerba")
    odd = ("", "..", "a\nb", "a\0b", "x" * 500, "x" * 5000)
    for name in (*odd, "no/such/file", "missing.pt", "zebra-16.generator"):
        with pytest.raises(ModelError) as caught:
            load_generator(name)
        line = str(caught.value)
        assert "\n" not in line and len(line) <= 200, line


def test_a_fetched_model_is_found_by_its_name(home, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(home / "fetched"))
    with pytest.raises(ModelError, match="models get ffhq-256"):
        load_generator("ffhq-256")
    pt = reference.write_pt(home / "550000.pt", g_ema=reference.generator_state([6, 5, 4], 8, 1))
    for name, file in (("ffhq-256", "ffhq-256.pt"), ("mine.pt", "mine.pt")):
        assert catalogue.get(name, from_file=pt) == home / "fetched" / file
        assert find_model(name) == home / "fetched" / file
        assert load_generator(name).config == CONFIG
    save(home / "fetched" / "lynx-16.generator.safetensors", generator_checkpoint(Generator(CONFIG)))
    assert find_model("lynx") == home / "fetched" / "lynx-16.generator.safetensors"


def test_the_wrong_kind_is_named(home):
    with pytest.raises(ModelError, match="holds a discriminator, not a generator"):
        load_generator("runs/mine/best.discriminator.safetensors")
    with pytest.raises(ModelError, match="not a discriminator"):
        load_discriminator("runs/young/last.safetensors")


def test_converting_recognises_content_and_writes_both_networks(tmp_path):
    g = reference.generator_state([6, 5, 4], style_dim=8, n_mlp=1)
    d = reference.discriminator_state([6, 5, 4])
    pt = reference.write_pt(tmp_path / "model.png", g_ema=g, g=g, d=d)
    written = convert(pt, tmp_path / "out" / "x.safetensors", half=True)
    assert [path.name for path in written] == ["x.safetensors", "x.discriminator.safetensors"]
    assert load(written[0]).tensors["synthesis.const"].dtype == torch.float16
    assert load_generator(pt).config == load_generator(written[0]).config == CONFIG
    assert load_discriminator(written[0]).config.channels == (6, 5, 4)
    again = convert(written[0], f"{tmp_path}/folder/")
    assert again == [tmp_path / "folder" / "x.safetensors"]
    assert load_generator(again[0]).synthesis.const.equal(load_generator(written[0]).synthesis.const)
    with pytest.raises(UsageError, match="source itself"):
        convert(pt, pt)
    with pytest.raises(DiskError):
        convert(pt, tmp_path / ("x" * 300))


def test_nothing_is_written_for_a_source_that_does_not_fit_together(tmp_path):
    g, d = reference.generator_state([6, 5, 4], 8, 1), reference.discriminator_state([6, 5, 4])
    del d["final_linear.1.bias"]
    pt = reference.write_pt(tmp_path / "a.pt", g_ema=g, d=d)
    with pytest.raises(ModelError, match=r"a\.pt: key d\.final_linear\.1\.bias is missing"):
        convert(pt, tmp_path / "out.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_blended_files_are_ordinary_checkpoints(home):
    out = blend_files("zebra-16", "zebra-64", 2, home / "mixed.safetensors")
    a, b, mixed = (load_generator(name) for name in ("zebra-16", "zebra-64", out))
    blocks = (a, a, b)
    for k, origin in enumerate(blocks):
        assert mixed.synthesis.blocks[k].conv1.conv.weight.equal(origin.synthesis.blocks[k].conv1.conv.weight)
    meta = load(out).meta
    assert (meta["blend"], meta["source"], meta["child"]) == (2, "zebra-16", "zebra-64")
    assert meta["shared_resolutions"] == []
    with pytest.raises(UsageError, match=r"0\.\.3"):
        blend_files("zebra-16", "zebra-64", 4, home / "no.safetensors")
    assert not (home / "no.safetensors").exists()


def test_opening_a_model_loads_no_compiler():
    """torch._dynamo takes a second to import, which every command would wait for."""
    code = "import sys; from stylegan_toon import load_generator; load_generator('faces'); "
    code += "sys.exit('torch._dynamo' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
