"""Builds a changed search from the `decoding` config of a run."""

import inspect
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.config import build, check_nodes, folder, locate
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.nearest_name import nearest
from seq2seq.trust import Trust, check_trusted, plain_values
from seq2seq.yaml_files import load


def changed_search(
    run_search: DictConfig,
    name: str | None,
    settings: Mapping[str, Any],
    n_best: int | None,
    trust: Trust = (),
) -> Strategy:
    """Builds the search of `search_config`, with its arguments and errors."""
    node = search_config(run_search, name, settings, n_best, trust)
    search: Strategy = build(OmegaConf.create({"decoding": node}), "decoding")
    return search


def search_config(
    run_search: DictConfig,
    name: str | None,
    settings: Mapping[str, Any],
    n_best: int | None = None,
    trust: Trust = (),
) -> DictConfig:
    """Returns the config of a search, made from that of a run and changes to it.

    Args:
        run_search: The run's `decoding` config.
        name: A choice of `conf/decoding`, such as `beam`; None for the run's own. Settings of both
            searches, such as the length limits, keep the run's values.
        settings: Changed values, by their keys in the config, such as `beam_size` or
            `length_penalty.alpha`.
        n_best: The number of hypotheses; None for that of the config.
        trust: Further modules and classes that the settings may name.

    Raises:
        UserError: If there is no such search, or a setting or its value is invalid.
    """
    node = run_search.copy()
    if name is not None:
        named = _named(name)
        if named["_target_"] != run_search["_target_"]:
            shared = [key for key in run_search if key in named and key != "_target_"]
            node = named.copy()
            node.update({key: run_search[key] for key in shared})
    for key, value in settings.items():
        _set(node, key, value)
    if n_best is not None:
        count = next((key for key in ("n_best", "samples") if key in node), None)
        if count is None:
            raise UserError(
                "n_best: this search has only one hypothesis; set decoding to beam or sampling."
            )
        node[count] = n_best
    config = OmegaConf.create({"decoding": node})
    check_trusted(plain_values(config), "decoding", trust)
    check_nodes(config)
    return node


def _named(name: str) -> DictConfig:
    known = _searches()
    if name not in known:
        raise UserError(
            f"decoding={name}: no such search{nearest(name, known)} (known: {', '.join(known)})."
        )
    return known[name]


def _searches() -> dict[str, DictConfig]:
    """Returns the configs of all searches by name."""
    paths = sorted((folder("conf") / "decoding").glob("*.yaml"))
    return {path.stem: load(path) for path in paths}


def _set(node: DictConfig, key: str, value: Any) -> None:
    """Sets a value; a null node above it, such as `coverage_penalty`, becomes a new object."""
    part, _, rest = key.partition(".")
    parameters = inspect.signature(locate("decoding", node)).parameters
    if part not in node and part not in parameters:  # a run of an older version has fewer keys
        known = [str(k) for k in node if not str(k).startswith("_")]
        others = [name for name, search in _searches().items() if part in search]
        hint = f"; decoding={others[0]} has it" if others else nearest(part, known)
        raise UserError(
            f"decoding.{part}: {str(node['_target_']).rpartition('.')[2]} has no such setting"
            f"{hint} (known: {', '.join(known)})."
        )
    if rest and node.get(part) is None:
        hint = get_type_hints(locate("decoding", node).__init__)[part]
        kind = next((option for option in get_args(hint) if inspect.isclass(option)), type(None))
        node[part] = {"_target_": f"{kind.__module__}.{kind.__qualname__}"}
    try:
        OmegaConf.update(node, key, value, force_add=True)
    except OmegaConfBaseException as error:
        raise UserError(f"decoding.{key}: cannot be set to {value!r} ({error}).") from error
