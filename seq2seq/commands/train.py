"""`seq2seq train`: trains a run, or a sweep of runs."""

import argparse

from seq2seq.cluster import cluster
from seq2seq.commands._overrides import overrides_argument, with_recipe
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.errors import UserError

EXAMPLES = """\
  seq2seq train translation/cldr_dates
  seq2seq train translation/cldr_dates model.encoder.units=256 trainer.epochs=5
  seq2seq train my_recipe.yaml data.directory=/my/data tracking=none
  seq2seq train translation/cldr_dates --cfg job
  seq2seq train -m translation/cldr_dates model.encoder.cell=lstm,gru seed=1,2
  seq2seq train init_from=outputs/translation/own_data/2026-11-22_09-00-00 trainer.epochs=2
  seq2seq train translation/cldr_dates hydra.run.dir=runs/dates   # again: continues it
  seq2seq train resume=outputs/translation/cldr_dates/2026-11-22_09-00-00

RECIPE is a name of `seq2seq recipes` or a YAML file; recipe=RECIPE says the same

common overrides (--cfg job prints all keys with their values):
  data.directory=FOLDER        where the files of the data are
  trainer.epochs=5             how long to train
  optimizer.learning_rate=2e-3
  seed=1                       another seed, another run
  model/attention=luong        a choice of a config group, here of attention
  precision=mixed_bfloat16     multiply in bfloat16
  tracking=none                without MLflow
  hydra.run.dir=FOLDER         the run folder (default outputs/RECIPE/TIME)
  init_from=RUN                start with the weights of a run; its tokenizers are kept, or fitted
                               on the data by init_tokenizers=data
  resume=RUN                   continue an interrupted run or sweep
  resume=never                 refuse a hydra.run.dir that holds a run, instead of continuing it;
                               resume=must refuses one that does not
  resume_changes=[KEY,...]     continue it although these settings differ
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    overrides_argument(parser, "train")
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="a sweep: one run for each combination of comma-separated values, such as seed=1,2",
    )
    parser.add_argument(
        "-c",
        "--cfg",
        choices=("job", "hydra", "all"),
        help="print a config instead of running it: the run's, Hydra's own or both; with -m that "
        "of each trial",
    )
    parser.add_argument(
        "--resolve", action="store_true", help="with --cfg: print values for ${references}"
    )
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module or class of yours that the config of a resumed run, or of a run that "
        "weights are copied from, may name, such as mypackage.layers; other code than seq2seq's is "
        "refused there; may be repeated",
    )


def run(options: argparse.Namespace) -> int:
    """Trains, or prints the config."""
    if not options.overrides:
        raise UserError(
            "train: names no recipe; for example `seq2seq train translation/cldr_dates`. "
            "`seq2seq recipes` lists them"
        )
    if options.resolve and not options.cfg:
        raise UserError("--resolve: changes what --cfg prints; add --cfg job")
    if options.multirun and cluster().source == "TF_CONFIG":
        raise UserError("-m: the trials of a sweep have one process each; unset TF_CONFIG")
    start_tensorflow()
    from seq2seq.launch import launch

    flags = ["--cfg", options.cfg] if options.cfg else []
    flags += ["--resolve"] * options.resolve
    overrides = with_recipe(options.overrides)
    return launch(overrides, flags, options.trust, options.multirun, options.debug)
