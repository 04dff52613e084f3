"""The adversarial losses of StyleGAN2 and of the paper behind this project."""

import torch.nn.functional as F
from torch import Tensor


def logistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """mean softplus(-D(x)) + mean softplus(D(G(z))): the discriminator's logistic loss.

    real, fake: scores [N] of any dtype. Returns a float32 scalar.
    Source: Goodfellow et al. 2014, arXiv 1406.2661, written with logits.
    """
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def logistic_g(fake: Tensor, saturating: bool = False) -> Tensor:
    """mean softplus(-D(G(z))), the non-saturating loss; or mean log(1 - sigmoid(D(G(z)))) if saturating.

    fake: scores [N]. Returns a float32 scalar; the saturating one is CPTR's eq. 1, and negative.
    Source: Goodfellow et al. 2014, arXiv 1406.2661, section 3.
    """
    return -F.softplus(fake.float()).mean() if saturating else F.softplus(-fake.float()).mean()
