"""Starts MiniStack with repairs.

`access` refuses some requests. Each other module repairs one service.
"""

import sys

import access  # noqa: F401
import bus  # noqa: F401
import ecr  # noqa: F401
import ecs  # noqa: F401
import functions  # noqa: F401
from ministack.app import main

if "--machine-engine" in sys.argv:
    sys.argv.remove("--machine-engine")
    import engine  # noqa: F401

sys.exit(main())
