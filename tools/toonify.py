#!/usr/bin/env python3
"""Turn face photos into cartoons: the same command as `stylegan-toon toonify`."""

from stylegan_toon.cli import main

if __name__ == "__main__":
    main(command="toonify")
