"""Counts of requests, kept in Redis because every web process must see them."""

import logging
import time

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)

MINUTE = 60_000  # milliseconds
PATIENCE = 0.2  # seconds for one answer of Redis: a request waits for it
PAUSE = 5  # seconds without another try after Redis failed to answer

TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local step, slack = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
if due - now > slack then return math.ceil(due - now - slack) end
due = due + step
redis.call('SET', KEYS[1], string.format('%.3f', due), 'PX', math.ceil(due - now))
return 0
"""
"""One number per caller: when its requests so far will have been paid for, one `step` each (the
generic cell rate algorithm).

Exact, with the clock of Redis; no window at whose edge twice as many pass.
"""


class RedisRates:
    """A Rates (see oclapi/resources/limits.py): `most` requests at once, and `most` a minute in the
    long run.
    """

    def __init__(self, url: str, most: int) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        self._take = self._redis.register_script(TAKE)
        self._step = MINUTE / most
        self._slack = MINUTE - self._step
        self._again = 0.0

    def take(self, who: str) -> float:
        """Cost: one round trip; none for a while after Redis failed."""
        if time.monotonic() < self._again:
            return 0.0
        try:
            return int(self._take(keys=[f"rate:{who}"], args=[self._step, self._slack])) / 1000
        except RedisError as error:
            self._again = time.monotonic() + PAUSE
            log.warning("requests are not counted", extra={"failure": str(error)})
            return 0.0
