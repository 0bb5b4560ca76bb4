"""The version of the package: the release, and in a checkout also the commit."""

import subprocess
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "keras-seq2seq"
"""The name of the package in a registry; `seq2seq` there is another project's."""

RELEASE = "0.2.0"

ALTERNATIVES = {
    "keras": ("keras-nightly",),
    "mlflow": ("mlflow-skinny",),
    "tensorflow": ("tensorflow-cpu", "tf-nightly", "tf-nightly-cpu"),
}
"""Other distributions of a package."""


@cache
def version() -> str:
    """Returns the version, such as `0.2.0+g1a2b3c4d` in a checkout of commit 1a2b3c4d.

    `.changed` is appended if tracked files differ from the commit.
    """
    package = Path(__file__).parent
    if (package.parent / ".git").exists():
        command = ["git", "-C", str(package), "describe", "--always", "--abbrev=8", "--exclude=*"]
        try:
            process = subprocess.run(
                [*command, "--dirty=.changed"], capture_output=True, check=True, timeout=10
            )
        except (OSError, subprocess.SubprocessError):
            return RELEASE
        return f"{RELEASE}+g{process.stdout.decode().strip()}"
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # while a wheel is built from a source archive
        return RELEASE


def distributions_of(package: str) -> tuple[str, ...]:
    """Returns the names of the distributions that may have a package."""
    return (package, *ALTERNATIVES.get(package, ()))


def installed_distribution(package: str) -> tuple[str, str] | None:
    """Returns by which distribution and in which version a package is installed, if it is.

    Example:
        >>> installed_distribution("keras")
        ('keras-nightly', '3.16.0.dev2026102704')
    """
    for name in distributions_of(package):
        with suppress(metadata.PackageNotFoundError):
            return name, metadata.version(name)
    return None
