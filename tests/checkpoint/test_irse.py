"""Files of e4e, pSp and ArcFace: what their networks answer here, and what is refused."""

import argparse
import re

import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.format import Checkpoint, load, save
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.checkpoint.importers.irse import from_arcface, from_style_encoder
from stylegan_toon.checkpoint.importers.rosinality import from_rosinality
from stylegan_toon.errors import ModelError
from stylegan_toon.features.irse import load_irse
from stylegan_toon.pipelines.convert import convert
from stylegan_toon.pipelines.models import load_encoder, load_generator
from stylegan_toon.stylegan2.files import build_encoder, encoder_checkpoint
from tests.checkpoint import irse_file
from tests.checkpoint.refusal import refused

KINDS = {"Encoder4Editing": True, "GradualStyleEncoder": False}  # and whether the heads add offsets


def near(found, wanted, tolerance=1e-5):
    assert np.abs(found.numpy() - wanted).max() < tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_of_a_file_answers_as_the_formulas_say(tmp_path, kind):
    state = irse_file.encoder_state()
    whole = irse_file.whole(state, kind)
    torch.save(whole, tmp_path / "a.pt")
    told = []
    paths = convert(tmp_path / "a.pt", f"{tmp_path}/out/", report=told.append)
    assert [path.name for path in paths] == ["a.safetensors", "a.encoder.safetensors"] and not told
    photos = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    wanted = irse_file.codes(state, photos.numpy(), KINDS[kind])
    assert np.ptp(wanted, 1).min() > 0.1  # no two layers are alike by chance
    for name in (tmp_path / "a.pt", *paths):  # beside the generator, too
        encoder = load_encoder(name)
        with torch.inference_mode():
            near(encoder(photos) - whole["latent_avg"][0], wanted)
    assert (
        load(paths[1]).meta["imported_from"] == {"Encoder4Editing": "e4e", "GradualStyleEncoder": "pSp"}[kind]
    )
    assert load_generator(paths[0]).config.n_layers == encoder.config.n_layers == 8
    assert not any(p.requires_grad for p in encoder.parameters())
    again = build_encoder(encoder_checkpoint(encoder))
    assert all(again.state_dict()[key].equal(tensor) for key, tensor in encoder.state_dict().items())


@pytest.mark.parametrize("channels, resolution", [([4, 4], 64), ([4] * 3, 32), ([4] * 6, 32)], ids=str)
def test_the_number_of_codes_and_the_size_of_the_input_are_read(channels, resolution):
    n_layers = 2 * len(channels)
    state = irse_file.encoder_state(n_layers, resolution=resolution)
    encoder = build_encoder(from_rosinality(irse_file.whole(state, channels=channels))["encoder"])
    assert (encoder.config.n_layers, encoder.config.resolution) == (n_layers, resolution)
    photo = torch.rand(1, 3, resolution, resolution) * 2 - 1
    with torch.no_grad():
        near(encoder(photo) - encoder.w_mean, irse_file.codes(state, photo.numpy(), True))
        larger = photo.repeat_interleave(2, 2).repeat_interleave(2, 3)
        assert encoder(larger).shape == (1, n_layers, 6)


@pytest.mark.parametrize(
    "latent_avg, opts, added",
    [
        (torch.ones(8, 6), {}, 1), (torch.ones(6), {}, 1), (torch.ones(1, 6), {"learn_in_w": True}, 1),
        (torch.ones(8, 6), {"start_from_latent_avg": False}, 0),
        (None, {}, None), (None, {"start_from_latent_avg": False}, 0),
    ],
)  # fmt: skip
def test_what_the_codes_are_added_to(latent_avg, opts, added):
    whole = irse_file.whole(irse_file.encoder_state(), **opts)
    whole["latent_avg"] = latent_avg
    if latent_avg is None:
        del whole["latent_avg"]
    found = from_rosinality(whole)
    mean = found["generator"].tensors["w_mean"]  # sampled where none is in the file
    wanted = mean if added is None else torch.full([6], float(added))
    assert found["encoder"].tensors["w_mean"].equal(wanted)


def test_a_file_of_an_old_torch_is_read(tmp_path):
    whole = irse_file.whole(irse_file.encoder_state())
    torch.save(whole, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    found = read_any(tmp_path / "a.pt")
    assert set(found) == {"generator", "encoder"} and found["generator"].meta["not_read"] == []


@pytest.mark.parametrize(
    "opts",
    [{"encoder_type": "BackboneEncoderUsingLastLayerIntoW"}, {"encoder_type": 3}, {"input_nc": 1}],
    ids=str,
)
def test_an_encoder_of_another_kind_is_left_and_the_decoder_read(opts):
    whole = irse_file.whole({"x": torch.ones(1)}, **opts)
    for given in (whole["opts"], argparse.Namespace(**whole["opts"]), None):  # theirs are dictionaries
        found = from_rosinality({**whole, "opts": given})
        assert set(found) == {"generator"} and found["generator"].meta["not_read"] == ["encoder"]


LAYOUTS = {
    "encoder": (irse_file.encoder_state, lambda state: from_style_encoder(state, "e4e", None)),
    "arcface": (irse_file.arcface_state, from_arcface),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_key_is_needed_in_its_shape_and_finite(layout):
    make, read = LAYOUTS[layout]
    state = make()
    wrong = [
        lambda x: torch.cat([x, x[:1]]), lambda x: x[None], torch.Tensor.double, torch.Tensor.long,
        lambda x: torch.full_like(x, float("nan")), lambda x: "text", lambda x: x[0],
    ]  # fmt: skip
    for i, key in enumerate(key for key in state if not key.endswith("num_batches_tracked")):
        where = f"encoder.{key}" if layout == "encoder" else key
        with pytest.raises(ModelError, match=rf"{re.escape(where)} is missing|keys that no"):
            read({k: v for k, v in state.items() if k != key})
        with pytest.raises(ModelError) as caught:
            read({**state, key: wrong[i % len(wrong)](state[key])})
        assert len(str(caught.value)) < 150 and "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_no_network_has_is_refused(layout):
    make, read = LAYOUTS[layout]
    state = make()
    for more, word in (
        ({"surprise": torch.ones(1)}, "surprise"),
        ({"body.9.res_layer.1.weight": torch.ones(4, 4, 3, 3)}, "body.6"),  # a gap before it
        ({"body.1.shortcut_layer.0.weight": torch.ones(8, 8, 1, 1)}, "body.1.shortcut_layer"),
        ({"body.0.res_layer.5.fc1.weight": torch.ones(9, 8, 1, 1)}, "does not narrow"),
        ({"body.0.res_layer.5.fc1.weight": torch.ones(0, 8, 1, 1)}, "fc1"),
        ({"body.2.res_layer.4.running_var": torch.full([10], -1.0)}, "negative"),
        ({"body.2.res_layer.4.running_var": torch.zeros(10),
          "body.2.res_layer.4.weight": torch.full([10], 3e38)}, "pass float32"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=word):
            read({**state, **more})


def test_heads_that_do_not_fit_are_refused():
    for state, word in (
        (irse_file.encoder_state(6), "gives 6 codes of 6, but its decoder takes 8 of 6"),
        (irse_file.encoder_state(w_dim=5), "gives 8 codes of 5"),
        ({k: v for k, v in irse_file.encoder_state().items() if not k.startswith("styles.4.")}, "styles.4"),
        ({k: v for k, v in irse_file.encoder_state().items() if not k.startswith("styles.")}, "styles.0"),
        ({**irse_file.encoder_state(), "styles.0.convs.40.weight": torch.ones(1)}, "21 convolutions"),
    ):
        with pytest.raises(ModelError, match=word):
            from_rosinality(irse_file.whole(state))
    draw = torch.Generator().manual_seed(0)
    three = irse_file.body_state(draw, (8, 10, 12), (1, 1, 1)) | {"styles.0.x": torch.ones(1)}
    with pytest.raises(ModelError, match="has 3 stages"):
        from_rosinality(irse_file.whole(three))
    whole = irse_file.whole(irse_file.encoder_state())
    whole["latent_avg"][3] += 1
    with pytest.raises(ModelError, match="latent_avg"):
        from_rosinality(whole)


def test_a_file_of_ours_with_a_configuration_that_lies_is_refused(tmp_path):
    good = from_rosinality(irse_file.whole(irse_file.encoder_state()))["encoder"]
    face = from_arcface(irse_file.arcface_state())["features"]
    shared = [{"units": [10**9, 1, 2, 1]}, {"units": []}, {"units": [1, 1]}, {"widths": [1 << 40] * 4},
              {"widths": [0] * 4}, {"widths": [8.0] * 4}, {"reduction": 0}, {"reduction": 10**6}]  # fmt: skip
    own = [{"n_layers": 10**9}, {"n_layers": 0}, {"resolution": 48}, {"resolution": 1 << 40}, {"w_dim": -1},
           {"offsets": 1}, {"surprise": 1}]  # fmt: skip
    for wrong in [*shared, *own]:
        with pytest.raises(ModelError):
            build_encoder(Checkpoint("encoder", {**good.config, **wrong}, {}, good.tensors))
    for wrong in [*shared, {"size": 10**9}, {"embedding": -1}, {"surprise": 1}]:
        save(
            tmp_path / "face.safetensors",
            Checkpoint("features", {**face.config, **wrong}, face.meta, face.tensors),
        )
        with pytest.raises(ModelError):
            load_irse(tmp_path / "face.safetensors")


def test_arcface_answers_as_the_formulas_say_from_every_form_of_its_file(tmp_path):
    state = irse_file.arcface_state()
    torch.save(state, tmp_path / "new.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (ours,) = convert(tmp_path / "new.pth", tmp_path / "ours.safetensors")
    (half,) = convert(tmp_path / "new.pth", tmp_path / "half.safetensors", half=True)
    faces = torch.rand(3, 3, 32, 32) * 2 - 1
    wanted = irse_file.embedding(state, faces.numpy())
    for name, tolerance in (("new.pth", 1e-5), ("old.pth", 1e-5), (ours, 1e-5), (half, 1e-2)):
        net = load_irse(tmp_path / name)
        assert net.config.size == 32
        near(net.embed(faces), wanted, tolerance)


def test_what_is_no_arcface_is_refused(tmp_path):
    torch.save({"input_layer.0.weight": torch.ones(4, 3, 3, 3)}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "body.0.res_layer.1.weight is missing", "IR-SE network in ArcFace's layout")
    state = irse_file.arcface_state()
    state["output_layer.3.weight"] = torch.ones(10, 14 * 5)
    torch.save(state, tmp_path / "b.pth")
    refused(tmp_path / "b.pth", "70 columns")
