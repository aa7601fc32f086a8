"""Measures the costs of the server and the harness, compared with others in the same run: `chatlab bench`."""
