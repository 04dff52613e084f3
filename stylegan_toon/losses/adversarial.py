"""The adversarial losses of StyleGAN2, of the paper behind this project, of R3GAN, and of least squares."""

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


def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """mean softplus(D(G(z)) - D(x)), picture by picture: the discriminator's relativistic pairing loss.

    real, fake: scores [N] of any dtype, of which the i-th are a pair. Returns a float32 scalar.
    Source: Jolicoeur-Martineau 2018, arXiv 1807.00734; with R1 and R2 as in Huang et al. 2024 (R3GAN), arXiv
        2501.05441.
    """
    return F.softplus(fake.float() - real.float()).mean()


def relativistic_g(real: Tensor, fake: Tensor) -> Tensor:
    """mean softplus(D(x) - D(G(z))): the generator's side of relativistic_d, without saturation.

    real, fake: scores [N]; no gradient reaches real. Returns a float32 scalar. Source: as relativistic_d.
    """
    return F.softplus(real.detach().float() - fake.float()).mean()


def lsgan_d(real: Tensor, fake: Tensor) -> Tensor:
    """mean (D(x) - 1)^2 + mean D(G(z))^2: the discriminator's least-squares loss, labels 1 and 0.

    real, fake: scores of any shape and dtype. Returns a float32 scalar.
    Source: Mao et al. 2017, arXiv 1611.04076, eq. 9 without its factors 1/2.
    """
    return (real.float() - 1).square().mean() + fake.float().square().mean()


def lsgan_g(fake: Tensor) -> Tensor:
    """mean (D(G(z)) - 1)^2: the generator's side of lsgan_d."""
    return (fake.float() - 1).square().mean()


def lsgan_fake(score: Tensor) -> Tensor:
    """mean D(x)^2: the discriminator's term for what it is to take for fake; lsgan_g is that for real."""
    return score.float().square().mean()


def logistic_fake(score: Tensor) -> Tensor:
    """mean softplus(D(x)): the same of the logistic loss, where logistic_g is that for real ones."""
    return F.softplus(score.float()).mean()
