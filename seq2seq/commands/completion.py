"""`seq2seq completion`: prints a script that completes commands in a shell."""

import argparse

SHELLS = ("bash", "zsh", "fish")

EXAMPLES = """\
  echo 'eval "$(seq2seq completion bash)"' >> ~/.bashrc
  echo 'eval "$(seq2seq completion zsh)"' >> ~/.zshrc       (after compinit)
  seq2seq completion fish > ~/.config/fish/completions/seq2seq.fish

then a new shell completes commands, options, files, recipes, config groups and their choices:
  seq2seq train translation/<TAB>
  seq2seq train translation/cldr_dates model/attention=<TAB>
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("shell", choices=SHELLS, help="the shell of the script")


def run(options: argparse.Namespace) -> int:
    """Prints the script."""
    from argcomplete import shellcode

    print(shellcode(["seq2seq"], shell=options.shell), end="")
    return 0
