"""What a training does: tasks, recipes, schedules, checkpoints."""
