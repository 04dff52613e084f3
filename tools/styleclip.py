#!/usr/bin/env python3
"""Edit faces by a text: the same command as `stylegan-toon styleclip`."""

from stylegan_toon.cli import main

if __name__ == "__main__":
    main(command="styleclip")
