"""Learning rates as a function of where a run is; they are set anew in every step, so no state holds them."""

from torch.optim import Optimizer


def flat_then_linear(epoch: int, flat: int, decay: int) -> float:
    """The factor in an epoch, counted from 0: 1 for flat epochs, then in even steps towards 0 over decay.

    1 - max(0, epoch + 1 - flat) / (decay + 1); after the last epoch it stays as it is then.
    Source: junyanz/pytorch-CycleGAN-and-pix2pix, the policy "linear".
    """
    return 1 - min(max(0, epoch + 1 - flat), decay) / (decay + 1)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Give all of an optimiser's parameters one learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
