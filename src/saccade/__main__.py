"""`python -m saccade`: the command line, as `torchrun -m saccade` starts it."""

from saccade.cli import main

if __name__ == "__main__":
    main()
