"""Remote files whose bytes are kept in a disk cache."""

from __future__ import annotations

import hashlib
import io
import pickle
from functools import partial
from typing import IO, Any

from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.local_files import FileVersion
from raybatch.stores.secrets import identity
from raybatch.stores.url_files import Store, UrlFiles, is_remote


class KeptFiles:
    """The files of `store`, which reads `filesystem`; `cache` keeps the bytes of remote files.

    TypeError if `cache` is not a `DiskCache`.
    """

    def __init__(self, store: Store, cache: DiskCache, filesystem: Any) -> None:
        if not isinstance(cache, DiskCache):
            raise TypeError(f"cache must be a raybatch.DiskCache, not a {type(cache)}")
        self._store = store
        self._cache = cache
        self._are_urls = isinstance(store, UrlFiles)
        # The same path can name different files in different stores.
        whole = b"" if self._are_urls else pickle.dumps(filesystem)
        self._place = hashlib.sha256(whole).hexdigest()

    def open(self, path: str) -> IO[bytes]:
        """Return the newest version of the file, from the cache if possible.

        See `DiskCache.get_newest`.
        """
        if not self._is_kept(path):
            return self._store.open(path)
        version_of = partial(self._store.version, path)
        read = partial(self._store.read_versioned, path)
        return io.BytesIO(self._cache.get_newest(self._key(path), version_of, read))

    def read_range(self, path: str, version: FileVersion, offset: int, length: int) -> bytes:
        """Return a part of the file, from the cache if it has that part of this `version`.

        See `LocalFiles.read_range`.
        """
        read = partial(self._store.read_range, path, version, offset, length)
        if not self._is_kept(path):
            return read()
        return self._cache.get(f"{self._key(path)}|{offset}+{length}", read, version)

    def _is_kept(self, path: str) -> bool:
        return not self._are_urls or is_remote(path)

    def _key(self, path: str) -> str:
        return f"{self._place}|{identity(path)}"
