"""Another search than the one that a run was trained with."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.config import build, check_nodes, folder, locate, nearest
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.trust import Trust, check_trusted, plain_values
from seq2seq.yaml_files import load


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Reads settings as they stand on a command line.

    Args:
        pairs: `KEY=VALUE` each, the value in YAML.

    Raises:
        UserError: If there is no `=`, or the value cannot be read.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise UserError(f"--set {pair}: must be KEY=VALUE, such as beam_size=10.")
        try:
            settings[key] = OmegaConf.from_dotlist([f"value={value}"])["value"]
        except Exception as error:  # YAML's
            raise UserError(f"--set {pair}: {value!r} cannot be read as YAML.") from error
    return settings


def changed_search(
    own: DictConfig,
    name: str | None,
    settings: Mapping[str, Any],
    n_best: int | None,
    trust: Trust = (),
) -> Strategy:
    """Builds a search from a run's own and what is to be other.

    Args:
        own: The run's `decoding` config.
        name: A choice of `conf/decoding`, such as `beam`; None for the run's own. What the run's
            own search sets and the other one has, too, such as the limits of length, stays.
        settings: Values of the search by their keys in its config, such as `beam_size` or
            `length_penalty.alpha`.
        n_best: How many hypotheses are answered; None for what the search says.
        trust: Modules and classes of one's own that the settings may name.

    Raises:
        UserError: If there is no such search, or it has no such setting or not such a value.
    """
    node = own.copy()
    chosen = own if name is None else _chosen(name)
    if chosen["_target_"] != own["_target_"]:
        node = chosen.copy()
        node.update({key: own[key] for key in own if key in node and key != "_target_"})
    for key, value in settings.items():
        _set(node, key, value)
    if n_best is not None:
        count = next((key for key in ("n_best", "samples") if key in node), None)
        if count is None:
            raise UserError(
                "n_best: this search finds one hypothesis; choose beam or sampling as the decoding."
            )
        node[count] = n_best
    config = OmegaConf.create({"decoding": node})
    check_trusted(plain_values(config), "decoding", trust)
    check_nodes(config)
    search: Strategy = build(config, "decoding")
    return search


def _chosen(name: str) -> DictConfig:
    files = {path.stem: path for path in sorted((folder("conf") / "decoding").glob("*.yaml"))}
    if name not in files:
        raise UserError(
            f"decoding={name}: no such search{nearest(name, files)} (known: {', '.join(files)})."
        )
    return load(files[name])


def _set(node: DictConfig, key: str, value: Any) -> None:
    """Sets a value; what is switched off, such as `coverage_penalty`, is switched on for it."""
    part, _, rest = key.partition(".")
    if part not in node:
        known = [str(k) for k in node if not str(k).startswith("_")]
        raise UserError(
            f"decoding.{part}: {str(node['_target_']).rpartition('.')[2]} has no such setting"
            f"{nearest(part, known)} (known: {', '.join(known)})."
        )
    if rest and node[part] is None:
        wanted = get_type_hints(locate("decoding", node).__init__)[part]
        found = next((each for each in get_args(wanted) if inspect.isclass(each)), type(None))
        node[part] = {"_target_": f"{found.__module__}.{found.__qualname__}"}
    try:
        OmegaConf.update(node, key, value, force_add=True)
    except OmegaConfBaseException as error:
        raise UserError(f"decoding.{key}: cannot be set to {value!r} ({error}).") from error
