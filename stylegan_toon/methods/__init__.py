"""Command-line name -> (Config, class): generators' methods, and translators from picture to picture."""

from stylegan_toon.methods import freezesg, scratch
from stylegan_toon.methods.i2i import cyclegan

METHODS = {
    "scratch": (scratch.Config, scratch.Scratch),
    "freezesg": (freezesg.Config, freezesg.FreezeSG),
}
TRANSLATORS = {
    "cyclegan": (cyclegan.Config, cyclegan.CycleGAN),
}
