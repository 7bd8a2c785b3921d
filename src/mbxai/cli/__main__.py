"""`python -m mbxai.cli`, the same as the program `mbxai`."""

from mbxai.cli._main import main

if __name__ == "__main__":
    main()
