"""Tests of the kit itself: its texts, handouts and expectations."""
