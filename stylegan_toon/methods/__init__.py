"""Command-line name -> (Config, class)."""

from stylegan_toon.methods import freezesg, scratch

METHODS = {
    "scratch": (scratch.Config, scratch.Scratch),
    "freezesg": (freezesg.Config, freezesg.FreezeSG),
}
