"""pix2pix: its sizes, and the questions every method is asked."""

import pytest
import torch

from stylegan_toon.methods.i2i.pix2pix import Config, Pix2Pix
from stylegan_toon.nn.patchgan import PatchGAN
from stylegan_toon.nn.unet import UNet, unet_depth
from tests.methods.i2i.questions import digests, learn, smooth, stream, unmoved

TINY = Config(size=32, batch=4, width=8, d_width=4, lr=2e-3)


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_the_networks_have_as_many_numbers_as_the_originals():
    with torch.device("meta"):
        assert count(UNet()) == 54_413_955
        assert count(UNet(norm="instance")) == 54_409_603
        assert count(UNet(depth=7)) == 41_828_995
        assert count(PatchGAN(channels=6, norm="batch")) == 2_768_705


def test_the_depth_fits_the_size():
    assert [unet_depth(size) for size in (32, 64, 96, 256, 512, 1024)] == [5, 6, 5, 8, 8, 8]
    for depth in (4, 7):
        with pytest.raises(ValueError, match=f"depth={depth}: a U-Net for 64 px takes 5 to 6, or 0"):
            Config(size=64, depth=depth)
    with pytest.raises(ValueError, match="4 halvings; it takes 5 and more"):
        UNet(depth=4)


def test_all_networks_move_in_a_step():
    """The discriminator's real and fake halves give its biases one gradient each, none is spared."""
    assert unmoved(Pix2Pix(TINY), stream(TINY)(0)) == []


def test_it_learns_four_pairs():
    """By what it draws, with the running statistics that it translates with."""
    method, batches = Pix2Pix(TINY), stream(TINY)
    losses = learn(method, batches, 60)
    assert losses[-1]["g/l1"] < 0.5 * losses[0]["g/l1"]
    pair = batches(0)
    with torch.inference_mode():
        made = method.eval().translate(pair["photo"])
    gap = (made - pair["cartoon"]).abs().mean()
    assert float(gap) < 0.5 * float((pair["photo"] - pair["cartoon"]).abs().mean())


def test_six_steps_are_three_and_three(tmp_path):
    assert len(digests(lambda: Pix2Pix(TINY), stream(TINY), tmp_path)) == 1


@pytest.mark.parametrize("size", [(37, 70), (5, 9)])
def test_it_translates_any_size_and_the_same_twice(size):
    method = Pix2Pix(TINY).eval()
    photo = torch.rand(1, 3, *size) * 2 - 1
    with torch.inference_mode():
        first = method.translate(photo)
        assert first.shape == photo.shape and torch.equal(first, method.translate(photo))


def test_dropout_is_where_the_original_has_it():
    """In the three doublings from 512 to 512 that are not the innermost, of eight."""
    assert UNet(2).drops == [False, True, True, True, False, False, False]
    assert not any(UNet(2, dropout=False).drops)


def test_the_skip_is_the_activated_map():
    """The original's leaky ReLU works in place, so that what goes across has lost its sign's full size."""
    net = UNet(2, 5, "instance", dropout=False)
    seen = []
    net.last.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    x = smooth(1, 32, 3)
    net(x)
    first = net.downs[0](x)
    wanted = torch.relu(torch.nn.functional.leaky_relu(first, 0.2))
    torch.testing.assert_close(seen[0][:, :2], wanted)
