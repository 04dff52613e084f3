"""Files of rosinality and Cartoon-StyleGAN: read whole or refused by name, and nothing in them runs."""

import argparse
import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.format import Checkpoint, load, save
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.checkpoint.importers.rosinality import from_rosinality
from stylegan_toon.checkpoint.importers.taker import discriminator_shapes, generator_shapes
from stylegan_toon.config import to_json
from stylegan_toon.errors import ModelError, UsageError
from stylegan_toon.pipelines.convert import convert
from stylegan_toon.pipelines.models import load_encoder, load_generator
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.files import outline
from stylegan_toon.stylegan2.generator import Generator
from tests.checkpoint.refusal import refused
from tests.stylegan2 import reference

CHANNELS = [8, 8, 6]


def g_state(**kwargs):
    return reference.generator_state(CHANNELS, style_dim=16, n_mlp=2, **kwargs)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_whole_file_is_read(tmp_path, legacy):
    ema, g, d = g_state(), g_state(seed=5), reference.discriminator_state(CHANNELS)
    path = reference.write_pt(tmp_path / "a.bin", legacy, g_ema=ema, g=g, d=d, latent_avg=torch.ones(16))
    found = read_any(path)
    assert set(found) == {"generator", "generator_raw", "discriminator"}
    config = found["generator"].config
    assert (config["resolution"], config["channels"], config["mapping_layers"]) == (16, CHANNELS, 2)
    assert torch.equal(found["generator"].tensors["w_mean"], torch.ones(16))
    assert torch.equal(found["generator_raw"].tensors["synthesis.const"], g["input.input"][0])
    assert torch.equal(
        found["generator"].tensors["synthesis.blocks.2.conv1.noise_const"], ema["noises.noise_4"][0, 0]
    )
    for kind, state in (("generator", ema), ("discriminator", d)):
        wanted = sum(v.numel() for k, v in state.items() if not k.endswith("kernel"))
        extra = 16 if kind == "generator" else 0
        assert sum(t.numel() for t in found[kind].tensors.values()) == wanted + extra


def test_without_g_ema_g_is_the_generator():
    assert set(from_rosinality({"g": g_state(), "args": None})) == {"generator"}


def parameters(state):
    return sorted(key for key in state if not key.endswith("kernel"))


@pytest.mark.parametrize("key", parameters(g_state()))
def test_a_missing_key_of_a_generator_is_named(key):
    state = g_state()
    del state[key]
    with pytest.raises(ModelError, match=f"key g_ema.{key} is missing"):
        from_rosinality({"g_ema": state})


@pytest.mark.parametrize("key", parameters(reference.discriminator_state(CHANNELS)))
def test_a_missing_key_of_a_discriminator_is_named(key):
    state = reference.discriminator_state(CHANNELS)
    del state[key]
    with pytest.raises(ModelError, match=f"key d.{key} is missing"):
        from_rosinality({"d": state})


def test_what_is_left_over_is_named(tmp_path):
    state = {**g_state(), "convs.9.surprise": torch.zeros(1)}
    refused(reference.write_pt(tmp_path / "a.pt", g_ema=state), "convs.9.surprise")
    refused(reference.write_pt(tmp_path / "b.pt", g_ema=g_state(), e={"x": torch.zeros(1)}), "e")
    refused(reference.write_pt(tmp_path / "c.pt"), "g_ema")
    d = {**reference.discriminator_state(CHANNELS), "final_conv.2.x": torch.zeros(1)}
    refused(reference.write_pt(tmp_path / "d.pt", d=d), "final_conv.2.x")


def test_wrong_shapes_and_other_filters_are_named():
    state = g_state()
    state["convs.1.conv.modulation.weight"] = torch.zeros(7, 16)
    with pytest.raises(ModelError, match=r"convs\.1\.conv\.modulation\.weight is \[7, 16\], wanted \[8, 16"):
        from_rosinality({"g": state})
    for key, network in (("convs.0.conv.blur.kernel", g_state()), ("to_rgbs.1.upsample.kernel", g_state())):
        network[key] = network[key] / 4
        with pytest.raises(ModelError, match=key):
            from_rosinality({"g": network})
    d = reference.discriminator_state(CHANNELS)
    d["convs.1.skip.0.kernel"] = torch.ones(3, 3) / 9
    with pytest.raises(ModelError, match=r"convs\.1\.skip\.0\.kernel"):
        from_rosinality({"d": d})
    with pytest.raises(ModelError, match="latent_avg"):
        from_rosinality({"g": g_state(), "latent_avg": torch.zeros(3)})


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_code_in_a_file_is_never_run(tmp_path, legacy):
    marker = tmp_path / "ran"
    path = tmp_path / "a.pt"
    torch.save({"g_ema": g_state(), "args": Evil(marker)}, path, _use_new_zipfile_serialization=not legacy)
    refused(path, "system")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil(marker)))
    refused(tmp_path / "plain.pkl", "asks to load posix.system")
    assert not marker.exists()


def test_a_whole_module_and_numpy_arrays_are_refused(tmp_path):
    torch.save({"g_ema": torch.nn.Linear(2, 2)}, tmp_path / "module.pt")
    refused(tmp_path / "module.pt", "torch.nn.modules.linear.Linear")
    torch.save({"g_ema": {"x": np.zeros(3)}}, tmp_path / "numpy.pt")
    refused(tmp_path / "numpy.pt", "numpy")


def broken(value):
    return {**g_state(), "input.input": value}


@pytest.mark.parametrize(
    "tensor, word",
    [
        (torch.zeros(1).as_strided((1 << 20, 1 << 20), (0, 0)), "claims more"),
        (torch.full((1, 8, 4, 4), float("nan")), "NaN"),
        (torch.full((1, 8, 4, 4), float("inf"), dtype=torch.float16), "NaN"),
        (torch.zeros(1, 8, 4, 4, device="meta"), "dense"),
        (torch.eye(4).to_sparse(), "dense"),
        (torch.zeros(1, 8, 4, 4, dtype=torch.float64), "float64"),
        (torch.zeros(1, 8, 4, 4, dtype=torch.int32), "floating"),
        ([1.0, 2.0], "floating"),
    ],
    ids=["huge", "nan", "inf", "meta", "sparse", "double", "int", "list"],
)
def test_odd_tensors_are_refused(tmp_path, tensor, word):
    torch.save({"g_ema": broken(tensor)}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", word)


def repack(source, target, change):
    """Write the zip anew; change(name, data) gives (data, compression)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            data, how = change(member.filename, old.read(member))
            new.writestr(zipfile.ZipInfo(member.filename), data, how)
    return target


def test_archives_that_torch_never_writes_are_refused(tmp_path):
    path = reference.write_pt(tmp_path / "a.pt", g_ema=g_state())
    stored = repack(path, tmp_path / "same.pt", lambda name, data: (data, zipfile.ZIP_STORED))
    assert "generator" in read_any(stored)
    refused(
        repack(path, tmp_path / "deflated.pt", lambda name, data: (data, zipfile.ZIP_DEFLATED)), "compressed"
    )
    short = repack(
        path, tmp_path / "short.pt",
        lambda name, data: (data[:16] if "/data/" in name else data, zipfile.ZIP_STORED),
    )  # fmt: skip
    refused(short)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(stored, "a") as archive:
        archive.writestr(archive.infolist()[0].filename, b"again")
    refused(stored, "two members")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("picture.png", b"x")
    (tmp_path / "other.zip").write_bytes(buffer.getvalue())
    refused(tmp_path / "other.zip", "no torch file")
    encrypted = bytearray(path.read_bytes())
    for place in (i for i in range(len(encrypted) - 4) if encrypted[i : i + 4] == b"PK\1\2"):
        encrypted[place + 8] |= 1
    (tmp_path / "locked.pt").write_bytes(encrypted)
    refused(tmp_path / "locked.pt", "encrypted")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_files_cut_short_are_refused(tmp_path, legacy):
    path = reference.write_pt(tmp_path / "a.pt", legacy, g_ema=g_state())
    good = path.read_bytes()
    for keep in (len(good) - 1, len(good) // 2, 600, 60):
        path.write_bytes(good[:keep])
        refused(path)


def test_what_is_no_model_is_described(tmp_path):
    for content, word in (
        (b"<!DOCTYPE html><html><body>Quota exceeded</body></html>", "web page"),
        (b"\n <html>", "web page"),
        (b"", "empty"),
        (b"hello", "no model file"),
    ):
        (tmp_path / "model.pt").write_bytes(content)
        refused(tmp_path / "model.pt", word, "rosinality")
    (tmp_path / "model.pt").write_bytes(pickle.dumps(OrderedDict(G=1)))
    refused(tmp_path / "model.pt", "is a pickle", "G_ema")


def test_the_names_and_shapes_of_the_importers_are_those_of_the_networks():
    config = Config(64, (10, 9, 8, 7, 6), z_dim=5, w_dim=4, mapping_layers=3)
    for cls, shapes in (
        (Generator, {**dict(generator_shapes(to_json(config))), "w_mean": (4,)}),
        (Discriminator, dict(discriminator_shapes(list(config.channels)))),
    ):
        assert {name: tuple(t.shape) for name, t in outline(cls, config).state_dict().items()} == shapes


@pytest.mark.parametrize("mean", [True, False], ids=["with latent_avg", "without"])
def test_writing_the_layout_gives_back_every_bit(tmp_path, mean):
    entries = {"g_ema": g_state(), "g": g_state(seed=5), "d": reference.discriminator_state(CHANNELS)}
    if mean:
        entries["latent_avg"] = torch.randn(16)
    source = reference.write_pt(tmp_path / "a.pt", **entries)
    (direct,) = convert(source, tmp_path / "b.pt", to="rosinality")
    ours = convert(source, tmp_path / "ours.safetensors")
    (through,) = convert(ours[0], f"{tmp_path}/folder/", to="rosinality")
    assert through == tmp_path / "folder" / "ours.pt"
    for path, missing in ((direct, set()), (through, {"g"})):
        written = torch.load(path, weights_only=True)
        assert set(written) == set(entries) - missing
        for name in written:
            theirs, back = entries[name], written[name]
            if isinstance(theirs, torch.Tensor):
                assert back.equal(theirs)
                continue
            assert set(back) == set(theirs)
            assert all(back[key].equal(theirs[key]) and back[key].is_contiguous() for key in theirs)
    rooms = [key.partition(".")[0] for key in torch.load(direct, weights_only=True)["g_ema"]]
    assert list(dict.fromkeys(rooms)) == ["style", "input", "conv1", "to_rgb1", "convs", "to_rgbs", "noises"]


def test_what_the_layout_cannot_say_is_refused(tmp_path):
    pt = reference.write_pt(tmp_path / "a.pt", g_ema=g_state(), d=reference.discriminator_state(CHANNELS))
    g, d = (load(path) for path in convert(pt, tmp_path / "a.safetensors"))
    save(
        tmp_path / "b.safetensors", Checkpoint(g.kind, {**g.config, "mapping_lr_mul": 0.1}, g.meta, g.tensors)
    )
    save(tmp_path / "c.safetensors", Checkpoint(d.kind, {**d.config, "group": 8}, d.meta, d.tensors))
    save(tmp_path / "e.safetensors", Checkpoint("features", {}, {}, {"a": torch.ones(1)}))
    for name, word in (("b", "learning rate"), ("c", "group"), ("e", "no generator")):
        with pytest.raises(ModelError, match=rf"{name}\.safetensors: .*{word}"):
            convert(tmp_path / f"{name}.safetensors", tmp_path / "out.pt", to="rosinality")
    for wrong in ({"half": True}, {"meta": {"blend": 1}}):
        with pytest.raises(UsageError):
            convert(pt, tmp_path / "out.pt", to="rosinality", **wrong)
    assert not (tmp_path / "out.pt").exists()


@pytest.mark.parametrize(
    "opts", [{"output_size": 16}, argparse.Namespace(output_size=16)], ids=["e4e", "pSp"]
)
def test_the_decoder_beside_an_encoder_is_the_generator_and_the_rest_is_told(tmp_path, opts):
    state, mean = g_state(), torch.randn(16)
    networks = {f"decoder.{key}": value for key, value in state.items()}
    networks |= {
        "encoder.input_layer.0.weight": torch.ones(4, 3, 3, 3),
        "encoder.input_layer.1.num_batches_tracked": torch.tensor(3),
    }
    whole = {"state_dict": networks, "latent_avg": mean.repeat(6, 1), "opts": opts, "global_step": 7}
    torch.save(whole, tmp_path / "e4e.pt")
    told = []
    (path,) = convert(tmp_path / "e4e.pt", f"{tmp_path}/out/", report=told.append)
    assert len(told) == 1 and "encoder is of a kind that is not used here" in told[0]
    made = load(path)
    assert made.kind == "generator" and made.meta["not_read"] == ["encoder"]
    assert made.tensors["w_mean"].equal(mean)
    z = torch.randn(2, 16)
    with torch.inference_mode():
        picture = load_generator(path)(z, 0.5, noise="const").numpy()
    wanted = reference.generator(state, z.numpy(), 0.5, mean)
    assert np.abs(picture - wanted).max() < 1e-5 * np.abs(wanted).max()
    whole["latent_avg"][2] += 1
    torch.save(whole, tmp_path / "uneven.pt")
    refused(tmp_path / "uneven.pt", "latent_avg")
    torch.save({"state_dict": {"encoder.x": torch.ones(1)}}, tmp_path / "half.pt")
    refused(tmp_path / "half.pt", "state_dict holds encoder")


def test_the_encoder_of_cartoon_stylegan_agrees_with_the_formulas(tmp_path):
    trunk = {k: v for k, v in reference.discriminator_state(CHANNELS).items() if k.startswith("convs.")}
    state = {**trunk, "convs.3.weight": torch.randn(6 * 16, CHANNELS[0], 4, 4)}
    torch.save({"e": state, "e_optim": {}}, tmp_path / "encoder_ffhq.pt")
    (path,) = convert(tmp_path / "encoder_ffhq.pt", tmp_path / "ffhq.encoder.safetensors")
    photos = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        codes = load_encoder(path)(photos)
    wanted = reference.cartoon_encoder(state, photos.numpy()).reshape(2, 6, 16)
    assert codes.shape == wanted.shape and np.abs(codes.numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()
    state["convs.3.weight"] = torch.randn(95, CHANNELS[0], 4, 4)
    torch.save({"e": state}, tmp_path / "odd.pt")
    refused(tmp_path / "odd.pt", "95 numbers")
