"""The virtual clock: a real Airflow on a wall clock that can be turned forward.

``hands``      the shared file that says how far virtual time is from real time
``shims``      what makes Airflow's processes read it, and what else has to change for that
``database``   the same for Postgres
``settings``   thresholds that would take a turn of the clock for an outage
``component``  the process that knows whether Airflow is quiet, and what comes next
``turning``    from event to event, until a moment is reached
``slider``     the clock in JupyterLab

What a notebook calls ``clock`` is in `windtunnel.clock`; what a start or a reset has to do is in `windtunnel.dated`.
A sandbox without ``--clock`` loads none of this package. Real stay: monotonic clocks, what another program than Python
reads (``date`` in a BashOperator, ``sleep``), ``current_timestamp`` and ``current_date`` in SQL, and times that
a browser computes by itself ("3 minutes ago").
"""
