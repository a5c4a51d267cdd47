"""Times as they come in and go out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oclapi import times

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC) - EPOCH, datetime(9999, 12, 30, tzinfo=UTC) - EPOCH
MOMENTS = st.timedeltas(FIRST, LAST).map(lambda since: EPOCH + since)


def at(hour, minute=0, second=0, micro=0):
    return datetime(2026, 3, 4, hour, minute, second, micro, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment", "whole"),
    [
        pytest.param(
            "2026-03-04T10:20:30.123Z", at(10, 20, 30, 123_000), False, id="as we show it"
        ),
        pytest.param("2026-03-04T10:20:30Z", at(10, 20, 30), True, id="whole seconds"),
        pytest.param("2026-03-04T10:20:30z", at(10, 20, 30), True, id="a small z"),
        pytest.param(
            "2026-03-04T10:20:30.000Z",
            at(10, 20, 30),
            False,
            id="a fraction of nothing is a fraction",
        ),
        pytest.param(
            "2026-03-04T10:20:30.5",
            at(10, 20, 30, 500_000),
            False,
            id="one digit of fraction, no offset: UTC",
        ),
        pytest.param(
            "2026-03-04T10:20:30.123456Z", at(10, 20, 30, 123_456), False, id="microseconds"
        ),
        pytest.param(
            "2026-03-04T10:20:30.1234569999999Z",
            at(10, 20, 30, 123_456),
            False,
            id="finer than microseconds is cut",
        ),
        pytest.param("2026-03-04T10:20Z", at(10, 20), True, id="no seconds"),
        pytest.param("2026-03-04 10:20:30", at(10, 20, 30), True, id="a space for the T"),
        pytest.param("2026-03-04T10:20:30+02:00", at(8, 20, 30), True, id="an offset with a colon"),
        pytest.param(
            "2026-03-04T10:20:30.25+0200",
            at(8, 20, 30, 250_000),
            False,
            id="an offset without a colon",
        ),
        pytest.param("2026-03-04T10:20+02", at(8, 20), True, id="an offset in hours"),
        pytest.param("2026-03-04T10:20:30-05:30", at(15, 50, 30), True, id="a negative offset"),
        pytest.param("2026-03-04T10:20:30-00:00", at(10, 20, 30), True, id="minus nothing"),
        pytest.param(
            "2026-03-04T23:20:30+23:59",
            datetime(2026, 3, 3, 23, 21, 30, tzinfo=UTC),
            True,
            id="the largest offset",
        ),
        pytest.param(
            "2026-03-04T10:20:30 02:00", at(8, 20, 30), True, id="a plus that arrived as a space"
        ),
        pytest.param("2026-03-04 10:20:30.5 0200", at(8, 20, 30, 500_000), False, id="two spaces"),
        pytest.param("2026-03-04", at(0), True, id="a day is its midnight"),
        pytest.param("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC), True, id="a leap day"),
        pytest.param("1772619630123", at(10, 20, 30, 123_000), False, id="epoch milliseconds"),
        pytest.param(
            "1772619630000",
            at(10, 20, 30),
            False,
            id="epoch milliseconds are exact even without a rest",
        ),
        pytest.param("0", datetime(1970, 1, 1, tzinfo=UTC), False, id="the epoch"),
        pytest.param(
            "0" * 40 + "1772619630123",
            at(10, 20, 30, 123_000),
            False,
            id="epoch milliseconds after many zeros",
        ),
        pytest.param(
            "253402300799999",
            datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
            False,
            id="the last millisecond",
        ),
        pytest.param("0001-01-01", datetime(1, 1, 1, tzinfo=UTC), True, id="the first day"),
    ],
)
def test_this_form_is_read(text, moment, whole):
    assert times.read(text) == times.Moment(moment, whole)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("yesterday", id="a word"),
        pytest.param("2015-13-45", id="no such month"),
        pytest.param("2026-02-30", id="no such day"),
        pytest.param("2025-02-29", id="no leap year"),
        pytest.param("0000-01-01", id="the year 0"),
        pytest.param("10000-01-01", id="the year 10000"),
        pytest.param("2026-3-4", id="single digits"),
        pytest.param("20260304T102030Z", id="the basic form"),
        pytest.param("2026-03-04T24:00:00Z", id="hour 24"),
        pytest.param("2026-03-04T10:60:00Z", id="minute 60"),
        pytest.param("2026-03-04T10:20:60Z", id="second 60"),
        pytest.param("2026-03-04T10Z", id="hours only"),
        pytest.param("2026-03-04T10:20:30.Z", id="an empty fraction"),
        pytest.param("2026-03-04T10:20.5Z", id="a fraction of minutes"),
        pytest.param("2026-03-04T10:20:30+24:00", id="an offset of a day"),
        pytest.param("2026-03-04T10:20:30+02:60", id="an offset with 60 minutes"),
        pytest.param("2026-03-04T10:20:30+2", id="an offset of one digit"),
        pytest.param("2026-03-04T10:20:30+020", id="an offset of three digits"),
        pytest.param("2026-03-04  10:20:30", id="two spaces for the T"),
        pytest.param("2026-03-04t10:20:30", id="a small t"),
        pytest.param("2026-03-04Z", id="a zone without a time"),
        pytest.param(" 2026-03-04", id="a space before"),
        pytest.param("2026-03-04T10:20:30Z\n", id="a line break after"),
        pytest.param("2026-03-04T10:20:30Z\0", id="a NUL after"),
        pytest.param("٢٠٢٦-٠٣-٠٤", id="digits of another script"),
        pytest.param("²", id="a digit that is no number"),
        pytest.param("-1", id="before the epoch"),
        pytest.param("1e12", id="an exponent"),
        pytest.param("0001-01-01T00:00:00+02:00", id="an offset that leads before the year 1"),
        pytest.param("9999-12-31T23:59:59-01:00", id="an offset that leads past the year 9999"),
        pytest.param("253402300800000", id="the millisecond after the last"),
        pytest.param("9" * 30, id="thirty digits"),
        pytest.param("9" * 10_000, id="ten thousand digits"),
    ],
)
def test_this_is_no_time(text):
    with pytest.raises(ValueError, match="not a date"):
        times.read(text)


@given(
    st.text(max_size=30)
    | st.from_regex(r"\A\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+ -]\d\d:?\d\d)?\Z")
)
def test_any_text_is_a_time_in_utc_or_not_a_date(text):
    try:
        moment = times.read(text)
    except ValueError as error:
        assert str(error).startswith("not a date")
    else:
        assert moment.at.utcoffset() == timedelta(0)


@given(MOMENTS)
def test_what_is_shown_is_read_back_to_the_millisecond(moment):
    cut = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert times.read(times.format(moment)) == times.Moment(cut, whole_seconds=False)


@given(MOMENTS, st.integers(-1439, 1439))
def test_the_same_moment_is_read_from_every_offset(moment, minutes):
    there = moment.replace(microsecond=0).astimezone(
        times._zone(f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}")
    )
    assert times.read(there.isoformat()).at == moment.replace(microsecond=0)


@given(st.integers(0, LAST // timedelta(milliseconds=1)))
def test_epoch_milliseconds_lose_nothing(millis):
    assert (times.read(str(millis)).at - EPOCH) / timedelta(milliseconds=1) == millis


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        pytest.param(NOON, "2026-03-04T12:00:00.000Z", id="always with milliseconds"),
        pytest.param(
            NOON.replace(microsecond=999_999),
            "2026-03-04T12:00:00.999Z",
            id="cut, never rounded up",
        ),
        pytest.param(
            datetime(987, 6, 5, tzinfo=UTC), "0987-06-05T00:00:00.000Z", id="four digits of year"
        ),
    ],
)
def test_a_time_is_shown_in_utc_with_milliseconds(moment, text):
    assert times.format(moment) == text
