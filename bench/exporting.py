"""The export job in its own process, compared with reading and compressing the same bodies."""

from contextlib import closing
from typing import Any

from isal import isal_zlib
from pymongo import MongoClient

from bench.data import source_url
from bench.loading import database
from bench.measure import Figure, Sample, in_child, peak_memory, seconds, side_by_side
from bench.stage import TENTH, WHOLE, Stage, open_store, repo_of
from config.settings import Settings
from jobs.export import build_export
from oclapi.app import build_services, create_app
from oclapi.model import ExportKey

BLOCK = 64 * 1024
MIB = 2**20
BATCH = 1000


def exports(stage: Stage) -> list[Figure]:
    """Measure seconds and peak memory at both sizes.

    The newest version of WHOLE has a ready export afterwards.
    """
    return [figure for source in (TENTH, WHOLE) for figure in _export(stage, source)]


def _export(stage: Stage, source: str) -> tuple[Figure, Figure]:
    released = iter(range(stage.effort.runs))
    peaks: list[float] = []
    with open_store(stage.settings) as store:
        repo = repo_of(store, source)

        def ours() -> float:
            version_id = f"exported-{next(released)}"
            with closing(stage.connect()) as web:
                web.send(
                    "POST", f"{source_url(source)}versions/", {"id": version_id, "released": True}
                )
            version = store.versions.by_id(repo.number, version_id)
            assert version  # just created
            export = store.exports.read(ExportKey(version.key))
            assert export and export.job  # created together with it
            took, peak = in_child(run_job, stage.settings, version.key, export.job.token)
            peaks.append(peak / MIB)
            return took

        def raw() -> float:
            return in_child(scan, stage.settings, repo.number, repo.rev)

        raw()  # fills the caches
        jobs, scans = (Sample.of(times) for times in side_by_side(stage.effort.runs, ours, raw))
    name, memory = (
        f"export of {repo.counts.entries:,} rows",
        Sample.of(peaks),
    )
    goal, limit = "at most 1.5 × the limit", "snapshot scan + isal level 1"
    return (
        Figure(f"{name}: job", "s", jobs, scans, goal, jobs.median <= 1.5 * scans.median, limit),
        Figure(
            f"{name}: peak memory", "MiB", memory, None, "under 150 MB", memory.high * MIB < 150e6
        ),
    )


def run_job(settings: Settings, version_id: str, token: str) -> tuple[float, int]:
    """Run the job as a worker does. Returns its seconds and the peak memory in bytes."""
    services = build_services(settings)
    with create_app(services).app_context():
        took = seconds(lambda: build_export(version_id, token))
    found = services.store.exports.read(ExportKey(version_id))
    if not found or not found.file:
        raise AssertionError(f"the job made no export: {found}")
    return took, peak_memory()


def scan(settings: Settings, repo: int, revision: int) -> float:
    """Read all bodies of one snapshot in commit order and compress them. Nothing is written."""

    def work() -> None:
        deflate = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
        with (
            MongoClient[Any](settings.mongo_url) as client,
            client.start_session(snapshot=True) as session,
        ):
            rows = database(client, settings)["rows"]
            for kind in ("concept", "mapping"):
                where = {
                    "repo": repo,
                    "kind": kind,
                    "from_rev": {"$lte": revision},
                    "to_rev": {"$gt": revision},
                }
                order = [("from_rev", 1), ("url", 1)]
                found = rows.find(
                    where,
                    {"_id": 0, "body": 1},
                    hint="order",
                    sort=order,
                    session=session,
                    batch_size=BATCH,
                )
                while batch := found.to_list(BATCH):
                    joined = memoryview(b",".join(row["body"] for row in batch))
                    for place in range(0, len(joined), BLOCK):
                        deflate.compress(joined[place : place + BLOCK])
        deflate.flush()

    return seconds(work)
