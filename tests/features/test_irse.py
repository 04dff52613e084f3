"""ArcFace's IR-SE network: what of a picture it sees, that gradients come back, and how its file is found."""

import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.importers.irse import from_arcface
from stylegan_toon.errors import ModelError, UsageError
from stylegan_toon.features.files import build_features
from stylegan_toon.features.identity import choose_identity
from stylegan_toon.features.irse import FILE, NAME, Config, IrSeFace, load_irse
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.losses.identity import identity_loss
from stylegan_toon.pipelines.catalogue import BY_NAME
from tests.checkpoint import irse_file


@pytest.fixture
def net() -> IrSeFace:
    made = from_arcface(irse_file.arcface_state(edge=2))["features"]
    return build_features(IrSeFace, Config, NAME, made, "a.pth", "cpu")


def averaged(x, size):
    """[H, H] to [size, size]: cell i is the mean of floor(i H / size) to ceil((i + 1) H / size), twice."""
    n, rows = len(x), np.zeros((size, len(x)))
    for i in range(size):
        first, end = i * n // size, -(-(i + 1) * n // size)
        rows[i, first:end] = 1 / (end - first)
    return rows @ x @ rows.T


@pytest.mark.parametrize("size", [64, 256, 300])
def test_it_sees_the_face_of_an_aligned_picture(net, size):
    x = torch.rand(1, 3, size, size, dtype=torch.float64)
    wanted = [averaged(averaged(channel, 256)[35:223, 32:220], 32) for channel in x[0].numpy()]
    np.testing.assert_allclose(net.double().crop(x)[0].numpy(), wanted, atol=1e-12)


def test_gradients_are_those_of_the_formula_and_reach_no_weight(net):
    net.double()
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(net.embed, x, fast_mode=True)
    other = net(torch.rand(1, 3, 40, 40)).roll(1, 1)
    photo = torch.rand(1, 3, 40, 40, requires_grad=True)
    identity_loss(net(photo), other).backward()
    assert photo.grad.abs().sum() > 0 and not any(p.requires_grad for p in net.parameters())
    torch.testing.assert_close(net(photo).norm(dim=1), torch.ones(1, dtype=torch.float64))


def test_other_shapes_are_refused(net):
    for shape in ((1, 3, 40, 41), (3, 40, 40), (1, 1, 40, 40)):
        with pytest.raises(ValueError, match="aligned pictures"):
            net(torch.zeros(shape))


def test_the_published_size_is_the_default():
    with torch.device("meta"):
        net = IrSeFace(Config())
    assert sum(len(stage) for stage in net.body.stages) == 24 and net.head.weight.shape == (512, 25088)


def test_the_fetched_file_is_found_and_another_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(tmp_path))
    monkeypatch.delenv("STYLEGAN_TOON_HOME", raising=False)
    assert BY_NAME[NAME].file == FILE
    with pytest.raises(ModelError, match=f"models get {NAME}"):
        load_irse()
    torch.save(irse_file.arcface_state(), tmp_path / FILE)
    x = torch.rand(2, 3, 50, 50)
    embed = choose_identity(NAME)
    assert embed(x).equal(load_irse()(x)) and embed(x).equal(choose_identity(str(tmp_path / FILE))(x))
    assert choose_identity("mobileface")(x).equal(load_mobileface()(x)[0])
    torch.save(irse_file.whole(irse_file.encoder_state()), tmp_path / "e4e.pt")
    with pytest.raises(ModelError, match="generator and encoder, not the network arcface-ir-se50"):
        load_irse(tmp_path / "e4e.pt")
    for absent in ("absent.pth", "./absent", f"{'x' * 300}.pth"):
        with pytest.raises(ModelError, match=r"is not there|cannot be read"):
            choose_identity(absent)
    with pytest.raises(UsageError, match="mobileface, arcface, arcface-ir-se50"):
        choose_identity("arcfase")
