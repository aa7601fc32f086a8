"""What is handed out to a class, or uploaded to a portal: `chatlab export student-kit` and its neighbours."""
