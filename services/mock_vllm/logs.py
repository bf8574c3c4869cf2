"""Log lines in vLLM's form, `(APIServer pid=7) INFO 11-23 14:52:01 [server.py:9] text`; access lines on stdout."""

from __future__ import annotations

import logging
import sys

API = logging.getLogger("APIServer")
ENGINE = logging.getLogger("EngineCore")
ACCESS = logging.getLogger("APIServer.access")


def configure_logging() -> None:
    """Send the loggers of this module to the process's streams."""
    line = "(%(name)s pid=%(process)d) %(levelname)s %(asctime)s [%(filename)s:%(lineno)d] %(message)s"
    for logger in (API, ENGINE):
        _attach(logger, logging.StreamHandler(sys.stderr), logging.Formatter(line, datefmt="%m-%d %H:%M:%S"))
    _attach(
        ACCESS,
        logging.StreamHandler(sys.stdout),
        logging.Formatter("(APIServer pid=%(process)d) INFO:     %(message)s"),
    )


def _attach(logger: logging.Logger, handler: logging.Handler, formatter: logging.Formatter) -> None:
    handler.setFormatter(formatter)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
