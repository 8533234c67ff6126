"""Turning the clock: from event to event, each of them seen through, until a moment is reached.

A jump over several ticks of a schedule would look like an outage to the scheduler. So the clock is put to the
next thing that is due (a run, a retry, a trigger, …), and stays there until Airflow is quiet again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Client, Connection
from typing import Any

from windtunnel.clockwork.component import ADDRESS
from windtunnel.clockwork.hands import TURNED_TO, Hands, nanoseconds
from windtunnel.errors import WindtunnelError
from windtunnel.moments import text
from windtunnel.state import State

LOOK, DRAW = 0.03, 0.3  # seconds of real time between looks, and between looks that are shown
PATIENCE = 120.0  # seconds of real time in which nothing changes, though something goes on


@dataclass(frozen=True)
class TurnedRun:
    """A run that began, or went on, while the clock was turned. Moments are in UTC."""

    dag_id: str
    run_after: datetime
    logical_date: datetime | None
    run_type: str
    state: str

    @property
    def date(self) -> str:
        """What it is for; without a logical date, when it began. To the minute: seconds depend on the machine."""
        return text((self.logical_date or self.run_after).replace(second=0, microsecond=0))


@dataclass(frozen=True)
class Step:
    """Where a turn is: shown while it goes on."""

    now: datetime
    runs: Sequence[TurnedRun]
    busy: Sequence[str]


class Controller:
    """Turns the clock of a sandbox. To be used as a context manager; one at a time turns.

    ``chapter``: the folder of the DAGs that matter to whoever turns.
    """

    def __init__(self, state: State, chapter: str) -> None:
        self.state, self.chapter = state, chapter
        self.hands = Hands(state.dated / "hands", writable=True)

    def __enter__(self) -> Controller:
        self._held = contextlib.ExitStack()
        with contextlib.ExitStack() as opening:
            lock = opening.enter_context((self.state.dated / "turning.lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WindtunnelError(
                    "The clock is being turned already, by another notebook.", "wait for it to come to rest."
                ) from None
            self._caller = opening.enter_context(self._reach())
            self._held = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _reach(self) -> Connection[Any, Any]:
        secret = self.state.secrets()["jwt"].encode()
        deadline = time.monotonic() + 30
        while True:
            try:
                host, port = json.loads((self.state.dated / ADDRESS).read_text())
                return Client((host, port), authkey=secret)
            except (OSError, EOFError, ValueError) as error:  # it is being restarted
                if time.monotonic() > deadline:
                    raise WindtunnelError(
                        "The process that looks after the clock does not answer.",
                        f"its log is {self.state.logs / 'clock.log'}; `windtunnel down && windtunnel up`.",
                    ) from error
                time.sleep(0.1)

    def _ask(self, name: str, *arguments: Any) -> dict[str, Any]:
        try:
            self._caller.send_bytes(json.dumps([name, *arguments]).encode())
            answer: dict[str, Any] = json.loads(self._caller.recv_bytes())
        except (OSError, EOFError) as error:
            raise WindtunnelError(
                "The sandbox went down while its clock was being turned.", "`windtunnel status` tells more."
            ) from error
        if "error" in answer:
            raise WindtunnelError(
                f"The clock could not be turned: {answer['error']}",
                f"the story is in {self.state.logs / 'clock.log'}",
            )
        return answer

    def next_of(self, dag_id: str) -> datetime | None:
        """When the schedule of a DAG makes its next run."""
        return _moment(self._ask("next_of", dag_id)["next"])

    def turn(self, target: datetime, see: Callable[[Step], None] | None = None) -> list[TurnedRun]:
        """Turn to ``target`` and return the runs there were, by DAG and date.

        ``see`` is told now and then how far it is.

        Raises WindtunnelError when something goes on for PATIENCE seconds of real time without a change.
        """
        self._ask("begin")
        self.hands.put(TURNED_TO, max(nanoseconds(target), self.hands.get(TURNED_TO)))
        moved = False
        for coming in self._quiet_moments(see):
            if moved and (coming is None or coming > target) and self.hands.now() >= target:
                break
            self.hands.turn(min(coming or target, target))
            moved = True
        self._ask("parse_paused", self.chapter)
        return _runs(self._ask("end"))

    def _quiet_moments(self, see: Callable[[Step], None] | None) -> Iterator[datetime | None]:
        """Each time that Airflow has come to rest: what comes next."""
        last, changed, drawn = "", time.monotonic(), 0.0
        while True:
            now = time.monotonic()
            closely = see is not None and now - drawn > DRAW
            found = self._ask("look", closely)
            if see is not None and closely:
                see(Step(self.hands.now(), _runs(found), found["busy"]))
                drawn = now
            if found["changes"] != last:
                last, changed = found["changes"], now
            if found["quiet"]:
                changed = now
                yield _moment(found["next"])
            elif now - changed > PATIENCE:
                raise self._stuck(self._ask("look", True)["busy"])
            time.sleep(LOOK)

    def _stuck(self, busy: Sequence[str]) -> WindtunnelError:
        what = "; ".join(busy[:3]) or "the scheduler makes no progress"
        return WindtunnelError(
            f"The clock stopped at {text(self.hands.now().replace(microsecond=0))} UTC: "
            f"for {PATIENCE:.0f} s of real time, {what}.",
            "wait for it and turn on, or look at its log; a sleep outside Python takes real time.",
        )


def _runs(look: dict[str, Any]) -> list[TurnedRun]:
    found = [
        TurnedRun(
            run["dag_id"],
            datetime.fromisoformat(run["run_after"]),
            _moment(run["logical_date"]),
            run["run_type"],
            run["state"],
        )
        for run in look["runs"]
    ]
    return sorted(found, key=lambda run: (run.dag_id, run.run_after))


def _moment(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None
