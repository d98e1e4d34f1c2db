"""``portkernel cache``: look at, check, empty and carry the compiled kernels on disk."""

from __future__ import annotations

import re
import tarfile
import tempfile
from pathlib import Path

import click

from .. import config
from ..runtime.cache import DiskCache, at

_MEMBER = re.compile(r"[0-9a-f]{64}\.(json|bin)")
_FILE = click.Path(dir_okay=False, path_type=Path)


def current() -> DiskCache:
    """The disk cache in force. Raises a click error where it is switched off."""
    found = at(config.get().cache_dir)
    if found is None:
        raise click.ClickException("the disk cache is switched off (PORTKERNEL_CACHE_DIR is empty)")
    return found


@click.group()
def cache() -> None:
    """The compiled kernels on disk."""


@cache.command()
def info() -> None:
    """Where the cache is, how many entries it has, and how large it is."""
    found = current()
    click.echo(f"folder   {found.folder}\nentries  {len(found.keys())}\nbytes    {found.size()}")


@cache.command()
def verify() -> None:
    """Check every entry by its hash. Exits with status 1 if one is damaged."""
    found = current()
    damaged = found.verify()
    for key in damaged:
        click.echo(f"damaged: {key}")
    click.echo(f"{len(found.keys())} entries, {len(damaged)} damaged")
    if damaged:
        raise SystemExit(1)


@cache.command()
def clear() -> None:
    """Remove every entry."""
    click.echo(f"removed {current().clear()} files")


@cache.command(name="export")
@click.argument("archive", type=_FILE)
def export_entries(archive: Path) -> None:
    """Write the sound entries to ARCHIVE, a tar file."""
    found = current()
    keys = [key for key in list(found.keys()) if found.get(key) is not None]
    with tarfile.open(archive, "w") as tar:
        for key in keys:
            for suffix in (".json", ".bin"):
                tar.add(found.folder / f"{key}{suffix}", f"{key}{suffix}")
    click.echo(f"{len(keys)} entries written to {archive}")


@cache.command(name="import")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_entries(archive: Path) -> None:
    """Add the entries of ARCHIVE, each checked by its hash. Only import what you trust: entries are machine code."""
    target, added, refused = current(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    content = tar.extractfile(member) if member.isfile() and _MEMBER.fullmatch(member.name) else None
                    if content is not None:
                        (Path(folder) / member.name).write_bytes(content.read())
        except tarfile.TarError as error:
            raise click.BadParameter(
                f"expected a file that cache export wrote, got {archive} ({error})", param_hint="ARCHIVE"
            ) from None
        incoming = DiskCache(Path(folder))
        for key in list(incoming.keys()):
            entry = incoming.get(key)
            if entry is None:
                refused += 1
            else:
                target.put(key, entry)
                added += 1
    click.echo(f"{added} entries added, {refused} refused")
