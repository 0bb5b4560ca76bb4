"""The help of every command: defaults, examples, and options that all commands have."""

import argparse

import pytest

from seq2seq.cli import COMMANDS, main, parser


def actions(command):
    [commands] = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return commands.choices[command]._actions


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_with_its_default(command):
    for action in actions(command):
        assert action.help, action.dest
        if action.default not in (None, False, [], "", argparse.SUPPRESS):
            assert "default" in action.help, action.dest


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_has_examples_that_can_be_parsed(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out
    examples = text.partition("examples:\n")[2].splitlines()
    assert f"  seq2seq {command}" in "\n".join(examples)
    assert max(map(len, examples)) <= 100
    with pytest.raises(SystemExit, match="0"):
        main(["help", command])
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_quiet_or_verbose(command):
    flags = {flag for action in actions(command) for flag in action.option_strings}
    assert {"-q", "--quiet", "-v", "--verbose", "--debug"} <= flags


def test_the_help_of_all_commands_lists_them_and_the_exit_codes(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["help"])
    text = capsys.readouterr().out
    assert all(f"    {command}" in text for command in COMMANDS)
    assert "exit codes:" in text
    with pytest.raises(SystemExit, match="2"):
        main(["help", "predikt"])
