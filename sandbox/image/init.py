"""What has to be there once before the components of docker-compose.yaml start, beside Airflow's tables.

Run again it changes nothing but the password, which is what ``.env`` says.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

CONNECTION = "AIRFLOW_CONN_"
ADMIN = "admin"


def main() -> int:
    """Make the DAG folder, write the simple auth manager's passwords; refuse connections that no task could use."""
    for name, value in os.environ.items():
        if name.startswith(CONNECTION):
            try:
                json.loads(value)
            except ValueError as error:
                print(f"init: {name} of docker-compose.yaml is not JSON: {error}", file=sys.stderr)
                return 1
    Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).mkdir(exist_ok=True)
    passwords = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({ADMIN: os.environ["AIRFLOW_PASSWORD"]}))
    print("init: Airflow's tables, its user and the connections are there.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
