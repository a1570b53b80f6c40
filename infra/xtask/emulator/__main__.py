"""Starts MiniStack with repairs: each module makes those of one service."""

import sys

import bus  # noqa: F401
import ecr  # noqa: F401
import ecs  # noqa: F401
import functions  # noqa: F401
from ministack.app import main

sys.exit(main())
