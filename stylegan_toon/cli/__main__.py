"""`python -m stylegan_toon.cli` is `stylegan-toon`."""

from stylegan_toon.cli import main

if __name__ == "__main__":
    main()
