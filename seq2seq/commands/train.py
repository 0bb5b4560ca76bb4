"""`seq2seq train`: trains a run, or a sweep of runs."""

from seq2seq.commands._start_tensorflow import start_tensorflow

HELP = """\
usage: seq2seq train recipe=NAME [key=value ...] [-m] [--debug]

Trains, evaluates and tracks one run; the config is composed with Hydra.

  seq2seq train recipe=translation/cldr_dates
  seq2seq train recipe=translation/cldr_dates model.encoder.units=256 trainer.epochs=5
  seq2seq train recipe=my_recipe.yaml data.directory=/my/data tracking=none
  seq2seq train -m recipe=translation/cldr_dates model.encoder.cell=lstm,gru seed=1,2
  seq2seq train resume=outputs/translation/cldr_dates/2026-11-22_09-00-00

  recipe=NAME        a recipe of the package (`seq2seq recipes` lists them) or a YAML file
  key=value          any config value; group=choice any config group
  hydra.run.dir=DIR  the run folder (default outputs/RECIPE/TIME)
  resume=RUN         resume an interrupted run or sweep; more overrides may follow
  -m, --multirun     one run for every combination of comma-separated values
  --cfg job          print the config instead of running it
  --trust MODULE     a module or class of yours that the config of a resumed run, or of a run that
                     weights are copied from, may name; other code than seq2seq's is refused there
  --debug            show the stack trace of an error
"""


def run(arguments: list[str], debug: bool) -> int:
    """Runs the command; its arguments are Hydra's."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0 if arguments else 2
    start_tensorflow()
    from seq2seq.launch import launch

    return launch(arguments, debug)
