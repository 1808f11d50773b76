"""Checks of the facts about hosts: what is fine, what is not, and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from raybatch.checks import counted
from raybatch.cli.host_facts import HostFacts
from raybatch.faults import advice
from raybatch.stores.listing import Search, class_of, left_out_text
from raybatch.stores.location import Location

OK, WARNING, PROBLEM = "ok", "warning", "problem"

# A loader's process has a connection to each actor and host, and an open file for each reading
# thread.
_FEW_OPEN_FILES = 4096
_TOO_FEW_OPEN_FILES = 1024

# Ray gives its object store this fraction of the memory by default.
_STORE_SHARE = 0.3


@dataclass(frozen=True)
class Finding:
    """The result of one check. `status` is "ok", "warning" or "problem".

    `advice` is "" if all is well.
    """

    check: str
    status: str
    seen: str
    advice: str = ""


def of_host(where: str, facts: HostFacts) -> Iterator[Finding]:
    """Iterate over the findings about one host, which messages call `where`."""
    yield Finding(f"cores, {where}", OK, f"{facts.cores}")
    yield _shared_memory(where, facts)
    yield _open_files(where, facts)
    if facts.versions["raybatch"] is not None:
        yield _kernel(where, facts)
        yield _jpeg_decoder(where, facts)


def of_paths(
    here: HostFacts, hosts: Mapping[str, HostFacts], paths: list[str]
) -> Iterator[Finding]:
    """Iterate over findings on whether all hosts can read each of `paths`, as this process can."""
    for path in paths:
        location = Location(path)
        errors = {
            where: facts.unreadable[path]
            for where, facts in hosts.items()
            if path in facts.unreadable
        }
        check = f"path {location}"
        if errors:
            seen = "; ".join(f"{where}: {location.hide(text)}" for where, text in errors.items())
            differs = "" if path in here.unreadable else advice(*errors.values())
            what_to_do = differs or "check that the path exists and that you may read it"
            yield Finding(check, PROBLEM, seen, what_to_do)
        else:
            yield Finding(check, OK, f"readable on {counted(len(hosts), 'host')}")


def of_folder(path: str) -> Iterator[Finding]:
    """Iterate over findings about the images below `path`, a folder or URL, seen from this machine.

    They name files that a loader leaves out, and classes without images.
    """
    search = Search(Location(path))
    try:
        images = [name for names in search.runs() for name in names]
    except OSError:
        return  # It is not a folder of images.
    check = f"images below {search.folder}"
    if search.left_out:
        advice = "convert or rename the images among them"
        seen = (
            f"{len(images):,}; left out, since the suffix is not an image's:"
            f" {left_out_text(search.left_out)}"
        )
        yield Finding(check, WARNING, seen, advice)
    else:
        yield Finding(check, OK, f"{len(images):,}")
    classes = set(map(class_of, images))
    if "" not in classes and (empty := sorted(set(search.folder.folders()) - classes)):
        advice = (
            "give all splits of the data set the same class numbers: image_folder(classes=),"
            " --classes"
        )
        seen = f"no images in {', '.join(map(repr, empty))}, of {len(classes | set(empty))} classes"
        yield Finding(f"classes below {search.folder}", WARNING, seen, advice)


def of_versions(here: HostFacts, hosts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Iterate over findings about the versions on `hosts`, which must be those of this process."""
    for package, wanted in here.versions.items():
        others = {
            where: facts.versions.get(package)
            for where, facts in hosts.items()
            if facts.versions.get(package) != wanted
        }
        check = f"version of {package}"
        if others:
            seen = f"{wanted} here; " + "; ".join(
                f"{where}: {version or 'not installed'}" for where, version in others.items()
            )
            yield Finding(check, PROBLEM, seen, f"install {package} {wanted} on every host")
        else:
            yield Finding(check, OK, f"{wanted} on {counted(max(1, len(hosts)), 'host')}")


def of_address(address: str | None) -> Finding:
    """Return the finding on whether raybatch can use this kind of address. It does not connect."""
    if address is None:
        return Finding("cluster", OK, "no --address given, so only this machine was checked")
    if address.startswith("ray://"):
        from raybatch.pools.ray.address import INSTEAD_OF_CLIENT  # loads ray

        return Finding(
            "cluster", PROBLEM, f"{address} is an address for Ray Client", INSTEAD_OF_CLIENT
        )
    return Finding("cluster", OK, address)


def of_address_file() -> Finding:
    """Return the finding on whether the cluster in `ray.init()`'s address file answers."""
    path = Path(os.environ.get("RAY_TMPDIR") or "/tmp", "ray", "ray_current_cluster")
    try:
        address = path.read_text().strip()
    except OSError:
        return Finding("address file", OK, f"there is no {path}")
    from raybatch.pools.ray.address import fault_at  # loads ray

    fault = fault_at(address)
    if fault is None:
        return Finding("address file", OK, f"{address} answers")
    return Finding(
        "address file",
        PROBLEM,
        f"{path} names {address}, but no Ray answers there ({fault}): `ray.init()` without an"
        " address fails",
        'remove that file, or call `ray.init(address="local")`; a raybatch pool does the latter by'
        " itself",
    )


def of_ray_folder() -> Finding:
    """Return the finding on whether the path of Ray's folder is short enough for sockets."""
    from raybatch.pools.ray.connection import too_long_folder  # loads ray

    folder = too_long_folder()
    if not folder:
        return Finding("folder of Ray", OK, "short enough for sockets")
    return Finding(
        "folder of Ray",
        WARNING,
        f"{folder} may be too long for sockets, and then `ray.init()` fails",
        "set RAY_TMPDIR=/tmp if your program starts Ray; a pool that starts Ray uses a short path",
    )


def of_tokens(hosts: Mapping[str, HostFacts]) -> Finding:
    """Return the finding on whether Ray on `hosts` asks for a token."""
    without = [where for where, facts in hosts.items() if facts.auth_mode != "token"]
    if not without:
        return Finding("token authentication", OK, "on")
    return Finding(
        "token authentication",
        WARNING,
        f"off on {', '.join(without)}: anybody who can connect to the cluster can run code on it",
        "set RAY_AUTH_MODE=token where Ray is started, or let nobody else connect to its ports",
    )


def _shared_memory(where: str, facts: HostFacts) -> Finding:
    check = f"/dev/shm, {where}"
    store_bytes, whose = facts.store_bytes, "the object store has"
    if store_bytes is None:
        store_bytes, whose = int(_STORE_SHARE * facts.memory_bytes), "Ray would take"
    seen = f"{facts.shm_bytes / 1e9:.1f} GB, {whose} {store_bytes / 1e9:.1f} GB"
    if facts.shm_bytes >= store_bytes:
        return Finding(check, OK, seen)
    advice = (
        "make it larger (`docker run --shm-size`, a memory-backed volume in Kubernetes), or set a"
        " smaller object_store_memory: Ray spills the rest to disk, which is slow"
    )
    return Finding(check, WARNING, seen, advice)


def _open_files(where: str, facts: HostFacts) -> Finding:
    check, limit = f"open files, {where}", facts.open_files
    seen = "without limit" if limit < 0 else f"at most {limit}"
    if limit < 0 or limit >= _FEW_OPEN_FILES:
        return Finding(check, OK, seen)
    status = PROBLEM if limit < _TOO_FEW_OPEN_FILES else WARNING
    advice = "raise it before Ray starts: `ulimit -n 65536`, or LimitNOFILE= of its service"
    return Finding(check, status, seen, advice)


def _kernel(where: str, facts: HostFacts) -> Finding:
    seen = facts.kernel
    if seen == "usable" or "Pillow is faster" in seen:
        return Finding(f"resize kernel, {where}", OK, seen)
    if "not built" in seen:
        advice = "install a C compiler there, such as gcc, and reinstall raybatch"
    elif seen == "RAYBATCH_KERNEL=none":
        advice = "unset that variable there"
    else:
        advice = "reinstall raybatch there, and report it if that does not help"
    advice += ": without the kernel, resizing takes five times as long"
    return Finding(f"resize kernel, {where}", WARNING, seen, advice)


def _jpeg_decoder(where: str, facts: HostFacts) -> Finding:
    check, seen = f"JPEG decoder, {where}", facts.jpeg_decoder
    if seen == "usable":
        return Finding(check, OK, seen)
    if seen == "no simplejpeg":
        advice = "pip install 'raybatch[fast]' there: Pillow decodes, which takes a sixth longer"
    else:
        advice = (
            "upgrade pillow and simplejpeg there, so that both have the same libjpeg-turbo; until"
            " then Pillow decodes"
        )
    return Finding(check, WARNING, seen, advice)
