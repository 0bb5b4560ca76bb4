"""The list of data sets that `seq2seq download` gets, from the table that the command reads."""

from pathlib import Path

import yaml

TABLE = Path(__file__).parents[2] / "seq2seq" / "data" / "downloads.yaml"


def data_set_list() -> str:
    """Returns a table with the address, size, licence and recipes of each data set."""
    sets = yaml.safe_load(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    rows = []
    for name, values in sets.items():
        size = sum(file["bytes"] for file in values["files"].values()) / 1e6
        recipes = ", ".join(f"`{recipe}`" for recipe in values["recipes"])
        about = f"[{values['title']}]({values['address']})"
        rows.append(f"| `{name}` | {about} | {size:.1f} MB | {values['licence']} | {recipes} |")
    return "\n".join(
        ["| name | what it is | size | licence | recipes |", "|---|---|---|---|---|", *rows]
    )
