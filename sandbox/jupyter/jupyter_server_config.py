"""Settings of every Jupyter server of the course's image, be it JupyterLab's own or one of a JupyterHub's.

Found by way of ``JUPYTER_CONFIG_PATH``, which names this folder.
"""

import sys

from windtunnel.behind_jupyter import configure
from windtunnel.errors import WindtunnelError

try:
    configure(get_config())  # type: ignore[name-defined]  # noqa: F821
except WindtunnelError as error:
    sys.exit(str(error))
