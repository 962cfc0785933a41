"""The command line: parse into one frozen options object, call the library, print one line, return one code.

Nothing here imports torch, cv2, mediapipe or av at module level, so that ``vtryon --help`` answers at once.
"""

from vtryon.cli.app import main

__all__ = ["main"]
