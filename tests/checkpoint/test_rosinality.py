"""Files of rosinality and Cartoon-StyleGAN: read whole or refused by name, and nothing in them runs."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.checkpoint.importers.rosinality import from_rosinality
from stylegan_toon.errors import ModelError
from tests.stylegan2 import reference

CHANNELS = [8, 8, 6]


def g_state(**kwargs):
    return reference.generator_state(CHANNELS, style_dim=16, n_mlp=2, **kwargs)


def refused(path, *words):
    with pytest.raises(ModelError) as caught:
        read_any(path)
    line = str(caught.value)
    assert "\n" not in line and len(line) <= 200 and path.name in line, line
    assert all(word in line for word in words), line


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
    refused(tmp_path / "plain.pkl", "pickle")
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
        (pickle.dumps(OrderedDict(G=1)), "pickle"),
    ):
        (tmp_path / "model.pt").write_bytes(content)
        refused(tmp_path / "model.pt", word, "rosinality")
