"""torch.export and torch.compile see through the whole generator, for any batch."""

import torch

from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.generator import Generator


class Draw(torch.nn.Module):
    def __init__(self, g):
        super().__init__()
        self.g = g

    def forward(self, w_plus):
        return self.g.synthesis(w_plus, "const")[-1]


def test_an_exported_generator_takes_other_batches():
    draw = Draw(Generator(Config(32, (8, 8, 8, 8), 8, 8, 2)).eval())
    batch = torch.export.Dim("batch", min=1, max=16)
    program = torch.export.export(draw, (torch.randn(3, 8, 8),), dynamic_shapes=({0: batch},))
    for n in (1, 5):
        w_plus = torch.randn(n, 8, 8)
        torch.testing.assert_close(program.module()(w_plus), draw(w_plus))


def test_a_compiled_generator_has_no_graph_break_and_equals_eager():
    draw = Draw(Generator(Config(16, (8, 8, 8), 8, 8, 2)).eval())
    compiled = torch.compile(draw, backend="aot_eager", fullgraph=True)
    w_plus = torch.randn(2, 6, 8)
    torch.testing.assert_close(compiled(w_plus), draw(w_plus))
