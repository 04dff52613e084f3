"""The command line: `stylegan-toon COMMAND`, and the same commands as scripts in tools/.

A command is imported when it is called, and imports torch in its body, so that --help answers at once.
"""

import difflib
import importlib
import os
import platform
import sys

import click

from stylegan_toon import __version__
from stylegan_toon.cli.common import ENVIRONMENT, run

# name -> (module:attribute, the line in `stylegan-toon --help`)
COMMANDS: dict[str, tuple[str, str]] = {
    "toonify": ("stylegan_toon.cli.toonify:toonify", "Turn the faces in photos into cartoons."),
    "generate": ("stylegan_toon.cli.generate:generate", "Draw pictures with a model."),
    "invert": ("stylegan_toon.cli.invert:invert", "Find the latent codes of the faces in photos."),
    "replay": ("stylegan_toon.cli.replay:replay", "Make a picture again from what it says of itself."),
    "styleclip": ("stylegan_toon.cli.styleclip:styleclip", "Edit faces by a text: before | after."),
    "edit": ("stylegan_toon.cli.edit:edit", "Apply an edit file to faces: before | after."),
    "mix": ("stylegan_toon.cli.mix:mix", "Mix faces: some layers from one, the rest from another."),
    "interpolate": ("stylegan_toon.cli.interpolate:interpolate", "Walk from face to face: GIF, WebP, MP4."),
    "factorize": ("stylegan_toon.cli.factorize:factorize", "Find edits in the weights alone (SeFa)."),
    "directions": ("stylegan_toon.cli.directions:directions", "Find an edit from two folders of faces."),
    "blend": ("stylegan_toon.cli.blend:blend", "Join two generators at a resolution and save the result."),
    "convert": ("stylegan_toon.cli.convert:convert", "Turn another program's model into a safetensors file."),
    "export": ("stylegan_toon.cli.export:export", "Write a generator as ONNX, for other programs."),
    "prepare": ("stylegan_toon.cli.prepare:prepare", "Make a training set from folders and archives."),
    "train": ("stylegan_toon.cli.train:train", "Train a face generator from scratch."),
    "finetune": ("stylegan_toon.cli.finetune:finetune", "Fine-tune a face generator to a cartoon style."),
    "train-encoder": (
        "stylegan_toon.cli.train_encoder:train_encoder",
        "Train the encoder that turns photos into latent codes.",
    ),
    "baseline": ("stylegan_toon.cli.baseline:baseline", "Train and run other methods, to compare with."),
    "train-upscaler": (
        "stylegan_toon.cli.train_upscaler:train_upscaler",
        "Train the network that enlarges cartoons.",
    ),
    "digest": ("stylegan_toon.cli.digest:digest", "Print the digest of a run's last state."),
    "evaluate": ("stylegan_toon.cli.evaluate:evaluate", "Measure a generator: faces, KID, copies, identity."),
    "blends": ("stylegan_toon.cli.blends:blends", "Measure a style at every blend."),
    "study": ("stylegan_toon.cli.study:study", "Compare ways of fine-tuning at matched fidelity."),
    "compare": (
        "stylegan_toon.cli.compare:compare",
        "Compare all methods on equal terms; rate them blindly.",
    ),
    "models": ("stylegan_toon.cli.models:models", "Fetch, list and verify model files of others."),
    "bench": ("stylegan_toon.cli.bench:bench", "Measure how fast it is here, alone or beside others."),
    "doctor": ("stylegan_toon.cli.doctor:doctor", "Say which device, kernels, models and parts are in use."),
}

EPILOG = """\b
Examples:
  stylegan-toon toonify me.jpg --out cartoons
  stylegan-toon generate storybook --seeds 0-7 --out drawn
  stylegan-toon doctor
`stylegan-toon COMMAND --help` shows the options of a command, with examples."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}" if near else f"the commands are {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def load(name: str) -> click.Command:
    """The click command called name, imported now."""
    module, attribute = COMMANDS[name][0].split(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    return command


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="stylegan-toon")
def cli() -> None:
    """Turn face photos into cartoons with StyleGAN2."""


def main(command: str | None = None) -> None:
    """Run the command line and exit: the whole group, or one command of it for a script in tools/."""
    if platform.machine() in ("x86_64", "AMD64"):  # elsewhere torch multiplies by OpenBLAS, too
        # NumPy's matrices here are small: beside another program its threads wait 200 ms to save 3.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if command is None:
        sys.exit(run(cli, sys.argv[1:], "stylegan-toon", ENVIRONMENT))
    prefix = f"{ENVIRONMENT}_{command.upper()}"
    sys.exit(run(lambda: load(command), sys.argv[1:], sys.argv[0], prefix))
