"""What a notebook calls ``clock``: see the time, turn it, watch the runs appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.errors import WindtunnelError, interrupted_means
from windtunnel.live import in_lab, in_terminal
from windtunnel.moments import When, moment, text
from windtunnel.session import Session, connect, current
from windtunnel.surroundings import in_containers
from windtunnel.views.strip import Strip
from windtunnel.waiting import poll

if TYPE_CHECKING:
    from windtunnel.clockwork.hands import Hands
    from windtunnel.clockwork.turning import Step, TurnedRun
    from windtunnel.sandbox import Sandbox

HOW = 'begin at a date: clock.reset("2026-03-01"), or `windtunnel reset --clock 2026-03-01` in a terminal.'


class Turn:
    """What happened while the clock was turned. ``runs``: what `windtunnel.clockwork.turning.TurnedRun` has."""

    def __init__(self, start: datetime, end: datetime, runs: list[TurnedRun]) -> None:
        self.start, self.end, self.runs = start, end, runs

    def of(self, dag_id: str) -> list[TurnedRun]:
        """The runs of one DAG, by date."""
        return [run for run in self.runs if run.dag_id == dag_id]

    @property
    def strip(self) -> Strip:
        """The runs as rows of squares, a row for each DAG."""
        return _strip(f"{text(self.start)} → {text(self.end)} UTC", self.runs)

    def __repr__(self) -> str:
        return repr(self.strip)

    def _repr_html_(self) -> str:
        return self.strip._repr_html_()


class Clock:
    """The clock of the sandbox. Every method raises WindtunnelError in a sandbox that has none."""

    def __repr__(self) -> str:
        try:
            return f"clock: {text(self._hands().now().replace(second=0, microsecond=0))} UTC"
        except WindtunnelError as error:
            return f"clock: {error.message}"

    def now(self) -> datetime:
        """What the sandbox's clock shows, in UTC. Between turns it runs as fast as any clock."""
        return self._hands().now()

    def set(self, when: When) -> Turn:
        """Turn forward to ``when``, event by event; the same as `until`."""
        return self.until(when)

    def until(self, when: When) -> Turn:
        """Turn to ``when``: what is due on the way happens, one thing after the other.

        Returns the runs that schedules have made since the last turn, and others that went on. Raises
        WindtunnelError for a moment that is past.
        """
        return self._turn(lambda _controller, _hands: moment(when))

    def advance(
        self, *, weeks: float = 0, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> Turn:
        """Turn forward by so much, counted from where the clock was last turned to. See `until`."""
        by = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        if by <= timedelta(0):
            raise WindtunnelError("Say by how much to turn.", "for example clock.advance(days=1).")

        def target(_controller: object, hands: Hands) -> datetime:
            # Reading takes time, too: what a page does must not depend on how long it was looked at.
            nominal = hands.turned_to() + by
            return nominal if nominal > hands.now() else hands.now() + by

        return self._turn(target)

    def to_next(self, dag_id: str) -> Turn:
        """Turn to the next run that the schedule of ``dag_id`` makes, and see it through.

        Raises WindtunnelError for a DAG that is unknown, is paused, or has no next run.
        """
        from windtunnel.runs import find_dag

        record = find_dag(current().airflow, dag_id)
        if record.is_paused:
            raise WindtunnelError(
                f"{dag_id} is paused: its schedule makes no runs.", f'unpause("{dag_id}") first.'
            )

        def target(controller: Any, _hands: object) -> datetime:
            when: datetime | None = controller.next_of(dag_id)
            if when is None:
                raise WindtunnelError(
                    f"{dag_id} has no next run ({record.timetable_summary or 'no schedule'}).",
                    f'trigger("{dag_id}") starts a run by hand.',
                )
            return when

        return self._turn(target, even_now=True)

    def reset(self, when: When) -> None:
        """A fresh Airflow that begins at ``when``; the DAGs of this notebook stay, paused. Runs are gone."""
        session = connect()
        if session.sandbox is None:
            raise _elsewhere()
        start = moment(when)
        with _showing("Turning the clock back") as progress:
            _sandbox(session).begin(start, progress)
            _wait_parsed(connect())

    def slider(self, days: int = 7) -> None:
        """Show a slider of ``days`` days: let go in JupyterLab, it turns the clock, and the runs appear below."""
        from IPython.display import display

        if in_lab():
            from windtunnel.clockwork.slider import show

            show(self, days)
        else:
            display(self)  # type: ignore[no-untyped-call]

    # --- inside ------------------------------------------------------------------------------------
    def _local(self) -> Session:
        session = current()
        if session.sandbox is None:
            raise _elsewhere()
        return session

    def _hands(self) -> Hands:
        state = _sandbox(self._local()).state
        if not state.clock or not state.is_running():
            raise WindtunnelError("This sandbox lives in real time.", HOW)
        from windtunnel.clockwork.hands import Hands

        return Hands(state.dated / "hands")

    def _turn(
        self,
        choose: Callable[[Any, Hands], datetime],
        *,
        even_now: bool = False,
        see: Callable[[Step], None] | None = None,
    ) -> Turn:
        hands = self._hands()
        from windtunnel.clockwork.settings import YEARS
        from windtunnel.clockwork.turning import Controller

        start, session = hands.turned_to(), self._local()
        state = _sandbox(session).state
        with Controller(state, session.chapter) as controller:
            target = choose(controller, hands)
            if even_now:  # what is due already is seen through where the clock stands
                target = max(target, start)
            if target < hands.now() and not even_now and target != start:
                raise WindtunnelError(
                    f"It is {text(hands.now().replace(microsecond=0))} UTC already, and time does not go back.",
                    f'start afresh: clock.reset("{target:%Y-%m-%d}"), or `windtunnel reset --clock {target:%Y-%m-%d}`; '
                    "the runs are gone then.",
                )
            limit = datetime.fromisoformat(state.clock["start"]) + timedelta(days=365 * (YEARS // 3))
            if target > limit:
                raise WindtunnelError(
                    f"The clock can be turned to {limit:%Y-%m-%d} at most.",
                    f'clock.reset("{target:%Y-%m-%d}")',
                )
            stopped = interrupted_means(
                "Stopped turning; Airflow stays where the clock is now.", "turn on when you like."
            )
            with stopped:
                if see is not None:
                    return Turn(start, target, controller.turn(target, see))
                with _watching(start, target) as look:
                    return Turn(start, target, controller.turn(target, look))


def _sandbox(session: Session) -> Sandbox:
    assert session.sandbox is not None
    return session.sandbox


def _elsewhere() -> WindtunnelError:
    if in_containers():
        return WindtunnelError(
            "The containers' Airflow has no clock to turn.",
            "have a sandbox in this container: `%env WINDTUNNEL_URL=` in a cell, then `%load_ext windtunnel` again.",
        )
    return WindtunnelError(
        "Only the local sandbox has a clock, and WINDTUNNEL_URL names another Airflow.",
        "unset WINDTUNNEL_URL.",
    )


def _wait_parsed(session: Session) -> None:
    """Until Airflow knows the files that the notebook has saved."""
    if session.dags is None:
        return
    wanted = {f"{session.dags.name}/{path.name}" for path in session.dags.glob("*.py")}

    def known() -> bool | None:
        found = {dag.relative_fileloc for dag in session.airflow.dags()}
        found |= {"/".join(Path(error.filename).parts[-2:]) for error in session.airflow.import_errors()}
        return True if wanted <= found else None

    poll(known, timeout=60, every=0.1)


def _strip(title: str, runs: Any) -> Strip:
    return Strip(title, [(run.dag_id, run.date, run.state) for run in runs])


@contextmanager
def _showing(what: str) -> Iterator[Callable[[str], None]]:
    """Tells the steps of a start."""
    from windtunnel.live import live_view

    with live_view(what) as view:
        yield lambda phase: view.show({phase: "running"})


@contextmanager
def _watching(start: datetime, target: datetime) -> Iterator[Callable[[Step], None] | None]:
    """A progress bar over virtual time, and a strip of the runs so far; gone when the block ends."""
    if in_lab():
        from windtunnel.clockwork.slider import Progress

        progress = Progress(start, target)
        try:
            yield progress.show
        finally:
            progress.close()
    elif in_terminal():
        from rich.console import Console
        from rich.progress import Progress as Bar

        span = (target - start).total_seconds()
        with Bar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("turning", total=max(span, 1))
            yield lambda step: bar.update(
                task,
                completed=(step.now - start).total_seconds(),
                description=f"{text(step.now.replace(second=0, microsecond=0))} · {len(step.runs)} runs",
            )
    else:
        yield None


clock = Clock()
