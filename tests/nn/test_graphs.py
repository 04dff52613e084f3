import pytest
import torch

from stylegan_toon.nn.graphs import captured
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.generator import Generator


def test_on_a_cpu_a_call_stays_what_it_is():
    def call(x):
        return 2 * x

    assert captured(call, torch.zeros(3)) is call


@pytest.mark.gpu
def test_a_recorded_generator_draws_what_it_drew():
    torch.manual_seed(0)
    g = Generator(Config(32, (16,) * 4, 16, 16, 2)).cuda().requires_grad_(False)
    z = torch.randn(3, 2, 16, device="cuda")
    with torch.inference_mode():
        play = captured(lambda z: g(z, noise="const"), z[0])
        for one in z:
            torch.testing.assert_close(play(one), g(one, noise="const"), atol=1e-4, rtol=1e-4)
