#!/usr/bin/env python3
"""Fine-tune a face generator to a cartoon domain: the same command as `stylegan-toon finetune`."""

from stylegan_toon.cli import main

if __name__ == "__main__":
    main(command="finetune")
