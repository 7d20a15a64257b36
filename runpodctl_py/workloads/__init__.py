"""What the commands for people know of each worker: from a person's words to a job's input."""
