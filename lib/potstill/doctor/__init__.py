"""What would spoil a training, looked for before its first hour: a minute of work on 64 rows."""
