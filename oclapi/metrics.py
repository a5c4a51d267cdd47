"""What a process counts for its operators; `/metrics` (oclapi/resources/metrics.py) tells the sum of all web processes.

Labels take few values: patterns, statuses, engines. No ids, no names of people.
"""

from prometheus_client import Counter, Histogram

requests = Histogram(
    "oclapi_request_seconds",
    "Time from a request to the first byte of its answer, by route pattern.",
    ("method", "route", "status"),
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

listings = Counter("oclapi_listings", "Listings by the engine that found their rows (solr, mongo).", ("engine",))
"""For the one who chooses the engine: `listings.labels(engine=index.name).inc()`."""
