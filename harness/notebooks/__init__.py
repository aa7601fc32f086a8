"""What the notebooks show: scenes, played in either world, drawn, predicted, and stepped through."""

from harness.notebooks.stage import Stage, heard, say, settle

__all__ = ["Stage", "heard", "say", "settle"]
