"""The engine that is Milvus: a server, with as many nodes as it has, or a file of Milvus Lite in this process.

    milvus.json    which collection is this index's: a collection of another index is refused, not overwritten
    photos.db      Milvus Lite's, where the address names such a file; relative names lie in the index's folder

A row is an entity with its number as the primary key, the id as `path`, for others who look into the collection, and
the embedding. Its index, HNSW by inner product, is declared before anything is inserted.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from saccade.errors import RecipeError, RunError
from saccade.index.engine import (
    Engine,
    EngineConfig,
    Found,
    IndexingError,
    Keys,
    Live,
    Vectors,
    nothing_found,
)
from saccade.serial import read_json, write_json

KEY, PATH, EMBEDDING = "key", "path", "embedding"
PATH_BYTES = 65_535  # the most that Milvus takes; a longer id is cut short there, and whole in the catalogue
MESSAGE_BYTES = 1 << 23  # at a time: a server takes 64 MB
KEYS = 10_000  # entities asked for or deleted at a time
QUERIES = 1000  # at a time
CONNECTING_SECONDS, WORKING_SECONDS = 5.0, 120.0
# The client asks every 10 seconds whether the server is still there, and Milvus Lite breaks off for being asked that
# often, in the middle of a long flush.
UNPINGED = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": 0}
PROPERTY = "saccade.index"  # Milvus Lite keeps no description of a collection

# Clients of each file of Milvus Lite in this process, which has one server for all of them.
_clients: Counter[str] = Counter()
_clients_lock = threading.Lock()


class Milvus(Engine):
    """Rows in a collection of Milvus."""

    keeps_removed: ClassVar[bool] = False

    def __init__(self, folder: Path, size: int, config: EngineConfig, generation: int = 0) -> None:
        super().__init__(folder, size, config, generation)
        load_pymilvus()
        self._lite = config.address.endswith(".db")
        self._address = str((folder / config.address).resolve()) if self._lite else config.address
        self._connected: Any = None
        self._connecting = threading.Lock()
        self._swept = False

    def append(self, first: int, vectors: Vectors, ids: Sequence[str]) -> None:
        """Insert rows, what a killed process left from `first` on being deleted before."""
        with self._explained():
            client = self._client()
            if not self._swept:
                client.delete(self.config.collection, filter=f"{KEY} >= {first}", timeout=WORKING_SECONDS)
                self._swept = True
            piece = max(MESSAGE_BYTES // (4 * self.size), 1)
            for start in range(0, len(vectors), piece):
                rows = [
                    {KEY: first + place, PATH: _cut(ids[place]), EMBEDDING: vectors[place]}
                    for place in range(start, min(start + piece, len(vectors)))
                ]
                client.insert(self.config.collection, rows, timeout=WORKING_SECONDS)

    def vectors(self, keys: Keys) -> Vectors:
        """The rows of those numbers; raises IndexingError for those that the collection lost."""
        rows = np.empty((len(keys), self.size), np.float32)
        with self._explained():
            for start in range(0, len(keys), KEYS):
                some = keys[start : start + KEYS].tolist()
                found = self._client().query(
                    self.config.collection, ids=some, output_fields=[KEY, EMBEDDING], timeout=WORKING_SECONDS
                )
                by_key = {each[KEY]: each[EMBEDDING] for each in found}
                if len(by_key) < len(set(some)):
                    raise self._lost(f"it lacks {len(set(some)) - len(by_key):,} rows")
                rows[start : start + len(some)] = [by_key[key] for key in some]
        return rows

    def search(self, queries: Vectors, top: int, live: Live) -> Found:
        """The rows with the highest inner product, as far as Milvus finds them."""
        scores, keys = nothing_found(len(queries), top)
        if not live.fewer or not len(queries):
            return scores, keys
        removed = set(live.removed.tolist())
        with self._explained():
            for start in range(0, len(queries), QUERIES):
                some = list(queries[start : start + QUERIES])
                found = self._found(some, top, "")
                # Rows that were removed a moment ago, or that a killed process left, take the place of others.
                if any(key >= live.count or key in removed for one in found for key, _ in one):
                    found = self._found(some, top, _condition(live))
                for place, one in enumerate(found, start):
                    # In the order of rows where scores are equal.
                    ordered = sorted(one, key=lambda each: (-each[1], each[0]))
                    keys[place, : len(one)] = [key for key, _ in ordered]
                    scores[place, : len(one)] = [score for _, score in ordered]
        return scores, keys

    def forget(self, keys: Keys) -> None:
        """Delete rows."""
        with self._explained():
            for start in range(0, len(keys), KEYS):
                some = keys[start : start + KEYS].tolist()
                self._client().delete(self.config.collection, ids=some, timeout=WORKING_SECONDS)

    def rename(self, key: int, name: str) -> None:
        """Write the row anew with another path."""
        [row] = self.vectors(np.array([key], np.int64))
        with self._explained():
            entity = {KEY: key, PATH: _cut(name), EMBEDDING: row}
            self._client().upsert(self.config.collection, [entity], timeout=WORKING_SECONDS)

    def settle(self, live: Live) -> None:
        """See what was inserted onto the disk, and that all of it is there; Milvus puts it into its index itself."""
        if not live.count:
            return
        with self._explained():
            client = self._client()
            client.flush(self.config.collection, timeout=10 * WORKING_SECONDS)
            condition = f"{KEY} < {live.count}"
            [count] = client.query(
                self.config.collection, filter=condition, output_fields=["count(*)"], timeout=WORKING_SECONDS
            )
            if count["count(*)"] < live.fewer:
                raise self._lost(f"it has {count['count(*)']:,} rows of {live.fewer:,}")

    def discard(self) -> None:
        """Drop the collection."""
        with self._explained():
            self._client().drop_collection(self.config.collection, timeout=WORKING_SECONDS)
        (self.folder / "milvus.json").unlink(missing_ok=True)

    def tidy(self) -> None:
        """Connect, and make the collection where there is none yet."""
        with self._explained():
            self._client()

    def close(self) -> None:
        """Let go of the connection; of a file of Milvus Lite, when the last one in the process does."""
        with self._connecting:
            if self._connected is not None:
                self._connected.close()
                self._connected = None
                self._let_go()

    def _found(self, queries: list[Vectors], top: int, condition: str) -> list[list[tuple[int, float]]]:
        """Keys and scores for each query."""
        found = self._client().search(
            self.config.collection,
            data=queries,
            anns_field=EMBEDDING,
            limit=top,
            filter=condition,
            output_fields=[KEY],
            search_params={"metric_type": "IP", "params": {"ef": max(self.config.search_effort, top)}},
            timeout=WORKING_SECONDS,
        )
        return [[(hit[KEY], hit["distance"]) for hit in one] for one in found]

    def _client(self) -> Any:
        """The client, connected when it is first needed, its collection this index's own."""
        with self._connecting:
            if self._connected is None:
                client = self._connect()
                try:
                    self._claim(client)
                except BaseException:
                    client.close()
                    self._let_go()
                    raise
                self._connected = client
            return self._connected

    def _connect(self) -> Any:
        pymilvus = load_pymilvus()
        if self._lite:
            with _clients_lock:
                _clients[self._address] += 1
        try:
            return pymilvus.MilvusClient(
                uri=self._address,
                timeout=CONNECTING_SECONDS,
                dedicated=True,
                **({"grpc_options": UNPINGED} if self._lite else {}),
            )
        except Exception as error:
            self._let_go()
            if self._lite:
                raise IndexingError(
                    f"Milvus Lite cannot open {self._address}: it is in use by another process, of which it takes one "
                    "at a time, or it was altered, or milvus-lite is not installed (pip install "
                    '"saccade-attention[milvus]"); several processes need a Milvus server'
                ) from error
            raise IndexingError(
                f"no Milvus answers at {self._address} ({_message(error)}): start it, or see to the address in "
                f"{self.folder / 'index.json'}"
            ) from None

    def _let_go(self) -> None:
        """Stop Milvus Lite's server, whose file other processes may have then, where no one here needs it."""
        if not self._lite:
            return
        with _clients_lock:
            _clients[self._address] -= 1
            if _clients[self._address] <= 0:
                del _clients[self._address]
                try:
                    from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415
                except ImportError:
                    return
                server_manager_instance.release_server(self._address)

    def _claim(self, client: Any) -> None:
        """See that the collection is this index's, made and loaded."""
        file, name = self.folder / "milvus.json", self.config.collection
        try:
            notes = read_json(file) if file.exists() else {"index": secrets.token_hex(16), "made": False}
            mark, made = f"Saccade index {notes['index']}", notes["made"]
        except (RunError, KeyError, TypeError) as error:
            raise IndexingError(f"{file} was altered ({error}): restore it, or delete the index") from None
        if client.has_collection(name, timeout=WORKING_SECONDS):
            held = client.describe_collection(name, timeout=WORKING_SECONDS)
            if mark not in (held.get("description"), held.get("properties", {}).get(PROPERTY)):
                raise IndexingError(
                    f"the collection {name!r} at {self._address} is not of this index: choose another name for it "
                    "(--engine.collection), or drop it"
                )
        elif made:
            raise self._lost("it is gone")
        else:
            write_json(file, notes)
            self._make(client, mark)
        if not made:
            write_json(file, {**notes, "made": True})
        client.load_collection(name, timeout=WORKING_SECONDS)

    def _make(self, client: Any, mark: str) -> None:
        """Declare the collection and its index."""
        kinds = load_pymilvus().DataType
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=mark)
        schema.add_field(KEY, kinds.INT64, is_primary=True)
        schema.add_field(PATH, kinds.VARCHAR, max_length=PATH_BYTES)
        schema.add_field(EMBEDDING, kinds.FLOAT_VECTOR, dim=self.size)
        index = client.prepare_index_params()
        efforts = {"M": self.config.links, "efConstruction": self.config.build_effort}
        index.add_index(EMBEDDING, index_type="HNSW", metric_type="IP", params=efforts)
        client.create_collection(
            self.config.collection,
            schema=schema,
            index_params=index,
            consistency_level="Strong",
            timeout=WORKING_SECONDS,
            **({"properties": {PROPERTY: mark}} if self._lite else {}),
        )

    def _lost(self, what: str) -> IndexingError:
        return IndexingError(
            f"the collection {self.config.collection!r} at {self._address} was altered: {what}; restore it, or delete "
            "the index and make it again"
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise what Milvus says as IndexingError."""
        import grpc  # noqa: PLC0415 - pymilvus's

        try:
            yield
        except (load_pymilvus().MilvusException, grpc.RpcError) as error:
            raise IndexingError(f"Milvus at {self._address}: {_message(error)}") from error


def load_pymilvus() -> Any:
    """Milvus's client, which logs nothing that is raised as well; raises RecipeError where it is missing."""
    try:
        import pymilvus  # noqa: PLC0415
    except ImportError:
        raise RecipeError('the engine milvus needs pymilvus: pip install "saccade-attention[milvus]"') from None
    for name in ("pymilvus", "milvus_lite", "grpc._server"):  # the last is where Milvus Lite answers
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pymilvus


def _condition(live: Live) -> str:
    """What a row must fulfil to count."""
    within = f"{KEY} < {live.count}"
    return f"{within} and {KEY} not in {live.removed.tolist()}" if len(live.removed) else within


def _cut(name: str) -> str:
    """A name that Milvus takes."""
    encoded = name.encode("utf-8", "replace")
    return encoded[:PATH_BYTES].decode("utf-8", "ignore")


def _message(error: Exception) -> str:
    return str(getattr(error, "message", "") or error).strip().splitlines()[0]
