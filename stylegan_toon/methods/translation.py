"""What the settings of every picture-to-picture method say, so that one pipeline can train them all.

A method in methods/i2i/ is a class Name(config[, maps]) beside its Config, with maps of
features.vgg.load_maps where its wants names "features" (None where it only translates). It is a training
Method and a Translator, and tells two things more:

    translators() -> dict[str, Module]: the networks that translate needs; what a file of weights holds
    original() -> Module: the network as the original's forward takes and returns pictures, for load_original
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True)
class TranslationConfig:
    """Defaults are the papers'; a preset is a set of changes to them.

    Class variables: presets, of which "small" is the command line's default; paired, whether photo i belongs
    to cartoon i; multiple, what size must be a multiple of; margin, how much larger pictures are than
    the squares that are cut out of them, by default as CycleGAN's; wants, what is needed beside photo and
    cartoon: names in pipelines.domains.MADE for a step, and "features" for the class's second argument.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "small": {"size": 64}}
    paired: ClassVar[bool] = False
    wants: ClassVar[tuple[str, ...]] = ()
    multiple: ClassVar[int] = 4
    margin: ClassVar[float] = 286 / 256

    size: int = 256  # of the squares that are trained on
    load_size: int = 0  # of the pictures that they are cut out of; 0 is margin times size
    batch: int = 1
    epoch: int = 0  # pictures in an epoch; 0 is the number in the larger set

    def __post_init__(self) -> None:
        if self.size % self.multiple:
            raise ValueError(f"size={self.size} must be a multiple of {self.multiple} for this method")
        if not 16 <= self.size <= 1024 or self.batch < 1 or (self.load_size and self.load_size < self.size):
            raise ValueError(
                f"size={self.size} load_size={self.load_size} batch={self.batch}: wanted size 16 to 1024, "
                "load_size 0 or from size up, batch from 1 up"
            )
        for field in fields(self):
            value, least = getattr(self, field.name), int(field.name.endswith("width"))
            if isinstance(value, int | float) and value < least:
                raise ValueError(f"{field.name}={value}: wanted {least} or more")

    @property
    def loaded(self) -> int:
        """The edge of the pictures in memory."""
        return self.load_size or round(self.size * self.margin)

    @property
    def steps(self) -> int:
        """How long the schedule is, in steps of a batch."""
        raise NotImplementedError


def at_least_one(config: TranslationConfig, *names: str) -> None:
    """Raises: ValueError for the first of these settings that is below 1."""
    for name in names:
        if (value := getattr(config, name)) < 1:
            raise ValueError(f"{name}={value}: wanted 1 or more")


@dataclass(frozen=True)
class EpochConfig(TranslationConfig):
    """Adam with the learning rate of CycleGAN's code: flat for epochs, then towards 0 over decay_epochs."""

    lr: float = 2e-4
    epochs: int = 100
    decay_epochs: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("epochs=0 and decay_epochs=0 leave nothing to train; give one")

    @property
    def steps(self) -> int:
        return -(-(self.epochs + self.decay_epochs) * max(self.epoch, 1) // self.batch)

    def epoch_of(self, i: int) -> int:
        """The epoch that step i belongs to, from 0; without an epoch's length the first."""
        return i * self.batch // self.epoch if self.epoch else 0
