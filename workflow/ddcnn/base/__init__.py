"""What everything stands on: errors, files, logs, tasks; one small thing each, no torch."""
