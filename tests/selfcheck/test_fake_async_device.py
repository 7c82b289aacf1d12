"""The clocks on a device that finishes its work late: whom a step's time is charged to."""

from __future__ import annotations

import pytest

from bench.measure.clock import EventClock
from bench.selfcheck.fake_async_device import FakeAsyncDevice, FakeEvent, check_timing


def test_steps_of_a_fake_async_device_are_charged_their_own_time() -> None:
    found = check_timing(bare=False)
    assert found.passed
    assert len(found.true_ms) == len(found.charged_ms) == 27
    assert found.true_ms[:6] == pytest.approx([6.0, 2.0, 4.0, 1.0, 8.0, 3.0], abs=0.5)


def test_a_bare_clock_charges_a_fake_async_device_to_nobody() -> None:
    found = check_timing(bare=True)
    assert not found.passed
    # The host is done with all of it long before the device: a step is charged the host's time.
    assert sum(found.charged_ms) < 0.5 * sum(found.true_ms)


def test_an_event_that_nobody_waited_for_can_not_be_read() -> None:
    device = FakeAsyncDevice()
    clock = EventClock(lambda: FakeEvent(device), device.synchronize)
    start = clock.stamp()
    device.enqueue(0.05)
    end = clock.stamp()
    with pytest.raises(RuntimeError, match="before the device had reached it"):
        clock.seconds([start, end])
    clock.finish()
    assert clock.seconds([start, end])[1] == pytest.approx(0.05, abs=0.01)
