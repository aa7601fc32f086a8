"""The folder in which a student works: `chatlab init` lays it out, and each kit that is handed out has it."""
