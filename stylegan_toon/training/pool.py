"""The image pool: pictures that a generator drew earlier, for its discriminator.

Source: Shrivastava et al. 2017, arXiv 1612.07828, section 2.3; Zhu et al. 2017, arXiv 1703.10593, section 4.
"""

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Gives back a batch in which every picture is, with probability 1/2, an older one that it replaces.

    Until the pool is full each picture is stored and given back. The pictures are a buffer, so that a run
    goes on exactly.
    """

    pictures: Tensor
    count: Tensor

    def __init__(self, capacity: int, size: int):
        """capacity: pictures [3, size, size] that it holds; 0 gives back what comes."""
        super().__init__()
        self.register_buffer("pictures", torch.zeros(capacity, 3, size, size))
        self.register_buffer("count", torch.zeros([], dtype=torch.int64))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, size, size], detached; draws from torch's CPU generator."""
        capacity, out = len(self.pictures), []
        for picture in x.detach():
            if int(self.count) < capacity:
                self.pictures[int(self.count)] = picture
                self.count += 1
                out.append(picture)
            elif capacity and float(torch.rand([])) > 0.5:
                at = int(torch.randint(capacity, []))
                out.append(self.pictures[at].clone())
                self.pictures[at] = picture
            else:
                out.append(picture)
        return torch.stack(out)
