"""The list of data sets that `seq2seq download` gets."""

from seq2seq.data.downloads import data_sets


def data_set_list() -> str:
    """Returns a table with the address, size, licence and recipes of each data set."""
    rows = []
    for name, data_set in data_sets().items():
        recipes = ", ".join(f"`{recipe}`" for recipe in data_set.recipes)
        about = f"[{data_set.title}]({data_set.address})"
        size = f"{data_set.size / 1e6:.1f} MB"
        rows.append(f"| `{name}` | {about} | {size} | {data_set.licence} | {recipes} |")
    heading = ["| name | what it is | size | licence | recipes |", "|---|---|---|---|---|"]
    return "\n".join([*heading, *rows])
