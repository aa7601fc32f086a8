"""What the server and the harness cost, beside others in the same run: `chatlab bench`."""
